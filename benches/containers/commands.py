"""Compares the test commands that rows are given with those of the swebench package; see README.md beside this file."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/debug/examples/commands"


def harness():
    """Loads the package's own table and function, without the container client that the rest of it needs."""
    spec = importlib.util.find_spec("swebench")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "harness" if spec else None
    if not folder or not (folder / "test_spec/python.py").exists():
        print("SKIPPED: no package swebench 4.1.0", file=sys.stderr)
        sys.exit(4)
    for name, path in [("swebench", folder.parent), ("swebench.harness", folder), ("swebench.harness.test_spec", folder / "test_spec")]:
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    # Files that the two functions do not use, and that need packages which may not be there.
    stub = types.ModuleType("swebench.harness.utils")
    stub.get_modified_files = stub.load_cached_environment_yml = None
    sys.modules["swebench.harness.utils"] = stub
    for name in ("dotenv", "requests", "unidiff"):
        sys.modules.setdefault(name, types.SimpleNamespace(load_dotenv=None, PatchSet=None))
    from swebench.harness.constants import MAP_REPO_VERSION_TO_SPECS
    from swebench.harness.test_spec.python import get_test_directives
    return MAP_REPO_VERSION_TO_SPECS, get_test_directives


def main():
    specs, directives = harness()
    data = subprocess.run(["zstd", "-dc", sys.argv[1]], check=True, capture_output=True).stdout
    rows = [json.loads(line) for line in data.splitlines()]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        printed = subprocess.run([str(PROGRAM), file.name], check=True, capture_output=True, text=True).stdout
    ours = {line["instance_id"]: line for line in map(json.loads, printed.splitlines())}
    wrong, new = [], 0
    for row in rows:
        command = specs[row["repo"]][row["version"]]["test_cmd"]
        theirs = " ".join([command, *directives(row)])
        mine = ours[row["instance_id"]]
        new += mine["visible"] != mine["hidden"]
        if mine["hidden"] != theirs or not mine["visible"].startswith(command):
            wrong.append(f"{row['instance_id']}: {mine} {theirs}")
        created = [path for path, head in re.findall(r"diff --git a/.* b/(.*)\n(.*)", row["test_patch"]) if head.startswith("new file")]
        if any(f" {path}" in mine["visible"] for path in created):
            wrong.append(f"{row['instance_id']}: {mine['visible']} names a file that is not there yet")
    print("\n".join(wrong))
    print(f"{len(rows)} rows, {len(wrong)} differ; {new} have another visible command")
    sys.exit(1 if wrong or not rows else 0)


main()
