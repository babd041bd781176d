"""Compares our compat reading of logs with the harness's own functions. See README.md."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/debug/examples/parse"
PYTEST = ["pytest", "matplotlib", "pytest_options", "pytest_v2", "seaborn"]
FUNCTIONS = {"pytest": PYTEST, "django": ["django"], "sympy": ["sympy"], "cargo": ["cargo"], "go": ["gotest"],
             "jest": ["jest", "jest_json"], "vitest": ["vitest"]}
REPOSITORIES = {"django": "django", "sympy": "sympy", "mwaskom": "seaborn", "astropy": "pytest_v2",
                "scikit-learn": "pytest_v2", "sphinx-doc": "pytest_v2", "psf": "pytest_options",
                "pylint-dev": "pytest_options", "matplotlib": "matplotlib", "pallets": "pytest", "pydata": "pytest",
                "pytest-dev": "pytest"}
MARKS = ["Patch Apply Failed", "Reset Failed", "Tests Errored", "Tests Timed Out"]


def registry():
    """Loads the package's parser files as they are; their imports of the rest of the package are answered by itself."""
    spec = importlib.util.find_spec("swebench")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    for name, path in [("swebench", folder), ("swebench.harness", folder / "harness")]:
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    # The functions take a TestSpec and a helper from files that need a container client; they use neither here.
    sys.modules["swebench.types"] = types.SimpleNamespace(TestSpec=object)
    sys.modules["swebench.utils"] = types.SimpleNamespace(ansi_escape=lambda text: text)
    from swebench.harness.log_parsers import PARSER_REGISTRY
    return PARSER_REGISTRY


def harness(function, path):
    """What the harness's grading does around the function: text mode, bad marks, the region, then the whole."""
    with open(path, errors="replace", encoding="utf-8") as file:
        log = file.read()
    if any(f">>>>> {mark}" in log for mark in MARKS):
        return {}
    region = log.split(">>>>> Start Test Output")[0].split(">>>>> End Test Output")[0]
    try:
        return function(region, None) or function(log, None)
    except IndexError:
        return {}


def ours(name, paths, flags=()):
    command = [str(PROGRAM), *flags, "parse_log_" + name, *map(str, paths)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    return [json.loads(line)["map"] for line in lines if line]


def unfold(mine, theirs):
    """Gives names in which the normaliser put `<word>` for a port or a temporary name back their own, and counts them."""
    names = {}
    for name in mine.keys() - theirs.keys():
        pattern = re.compile(".+".join(map(re.escape, re.split("<[a-z]+>", name))))
        own = [other for other in theirs.keys() - mine.keys() if pattern.fullmatch(other)]
        if len(own) == 1:
            names[name] = own[0]
    return {names.get(name, name): status for name, status in mine.items()}, len(names)


def compare(functions, name, paths, flags=()):
    differing = 0
    for path, mine in zip(paths, ours(name, paths, flags), strict=True):
        theirs = harness(functions["parse_log_" + name], path)
        if flags:
            mine, changed = unfold(mine, theirs)
            if changed:
                print(f"{path.name}: {changed} names are found under their normalised form")
        if mine != theirs:
            differing += 1
            print(f"{name} {path}: {sorted(set(theirs.items()) ^ set(mine.items()))[:8]}")
    return differing


def main():
    functions = registry()
    compared = differing = 0
    for folder, names in FUNCTIONS.items():
        paths = sorted((ROOT / "fixtures/logs" / folder).glob("*.log"))
        for name in names:
            compared += len(paths)
            differing += compare(functions, name, paths)
    print(f"fixtures: {compared} maps compared, {differing} differ")
    for folder in sys.argv[1:]:
        for flags in [(), ("--canonical",)]:
            real = wrong = names = 0
            for path in sorted(pathlib.Path(folder).glob("*.raw")):
                name = REPOSITORIES[path.name.split("__")[0]]
                real += 1
                names += len(harness(functions["parse_log_" + name], path))
                wrong += compare(functions, name, [path], flags)
            print(f"{folder} {' '.join(flags) or 'raw'}: {real} maps of {names} names compared, {wrong} differ")
            compared, differing = compared + real, differing + wrong
    sys.exit(1 if differing or not compared else 0)


if __name__ == "__main__":
    main()
