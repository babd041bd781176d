"""Stand-ins for the repositories of published instances: small trees to which each row's own test_patch applies.

Each row stays as it is published, so its digest is the published one; only `test_command` is added. Its base commit is
there through `refs/replace`, which git on the search path must be allowed to follow (see `git` in run.py).
"""

import itertools
import json
import re
import subprocess

STATE = "state.py"
COMMAND = "grep -q repaired state.py && cat recorded/{id}/green.txt || {{ cat recorded/{id}/red.txt; exit 1; }}"


def before(patch):
    """Returns the files that a unified diff expects to find, as far as it shows them; what lies between is filled."""
    files, path, lines, at, is_open = {}, None, [], 1, False
    missing_newline, left, last = False, [0, 0], " "
    for line in patch.split("\n") + ["diff "]:
        head = not is_open and line.startswith(("--- ", "rename from "))
        if line.startswith("diff ") or head:
            if path is not None:
                files[path] = "\n".join(lines) + ("" if missing_newline else "\n") if lines else "# empty\n"
            path, lines, at, missing_newline, is_open = None, [], 1, False, False
            if line.startswith("rename from "):
                path = line.removeprefix("rename from ")
            elif line.startswith("--- a/"):
                path = line.removeprefix("--- a/").split("\t")[0]
        elif found := re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", line):
            first, is_open = int(found.group(1)), True
            left = [int(found.group(2) or 1), int(found.group(3) or 1)]
            while at < first:
                lines.append(f"# line {at}")
                at += 1
        elif is_open and line.startswith("\\"):
            missing_newline = last != "+"
        elif is_open and (left[0] or left[1]):
            last = line[:1] or " "
            if last in " -":
                lines.append(line[1:])
                at, left[0] = at + 1, left[0] - 1
            if last in " +":
                left[1] -= 1
        else:
            is_open = False
    return files


def log(row, failing):
    """Returns a log in the form of the repository's runner."""
    names = json.loads(row["FAIL_TO_PASS"]) + json.loads(row["PASS_TO_PASS"])
    bad = set(json.loads(row["FAIL_TO_PASS"])) if failing else set()
    failed, passed = sum(name in bad for name in names), sum(name not in bad for name in names)
    if row["repo"] == "django/django":
        lines = [f"{name} ... {'FAIL' if name in bad else 'ok'}" for name in names]
        end = f"FAILED (failures={failed})" if bad else "OK"
        return "\n".join([*lines, "", "-" * 70, f"Ran {len(names)} tests in 0.001s", "", end, ""])
    if row["repo"] == "sympy/sympy":
        lines = [f"{name} {'F' if name in bad else 'ok'}" for name in names]
        counts = f"{passed} passed" + (f", {failed} failed" if bad else "")
        head = ["=" * 30 + " test process starts " + "=" * 30, "", f"tests/test_recorded.py[{len(names)}] "]
        return "\n".join([*head, *lines, "", f" tests finished: {counts}, in 0.01 seconds ", ""])
    lines = [f"{'FAILED' if name in bad else 'PASSED'} {name}" for name in names]
    counts = (f"{failed} failed, " if bad else "") + f"{passed} passed"
    head = ["=" * 29 + " test session starts " + "=" * 28, f"collected {len(names)} items", ""]
    return "\n".join([*head, "=" * 27 + " short test summary info " + "=" * 27, *lines, f"==== {counts} in 0.01s ====", ""])


def tree(rows):
    """Returns the tree of a base commit, which several rows may share."""
    files = {STATE: 'STATE = "broken"\n'}
    for row in rows:
        for path, text in before(row["test_patch"]).items():
            # Filled lines of one are known lines of the other.
            known = files.get(path, "").split("\n")
            pairs = itertools.zip_longest(known, text.split("\n"), fillvalue="")
            files[path] = "\n".join(old if new.startswith("# line ") or not new else new for old, new in pairs)
        for name, failing in (("red", True), ("green", False)):
            files[f"recorded/{row['instance_id']}/{name}.txt"] = log(row, failing)
    return files


def repositories(rows, folder):
    """Makes a bare repository for each name, with the base commit of each of its rows."""
    for name in sorted({row["repo"] for row in rows}):
        path = folder / name.replace("/", "__")
        subprocess.run(["git", "init", "--quiet", "--bare", path], check=True)
        commits = {}
        for row in rows:
            if row["repo"] == name:
                commits.setdefault(row["base_commit"], []).append(row)
        stream = []
        for number, own in enumerate(commits.values(), 1):
            stream.append(f"commit refs/heads/c{number}\nmark :{number}\n"
                          "committer synthetic <synthetic@localhost> 946684800 +0000\ndata 4\nbase\n".encode())
            for file, text in tree(own).items():
                data = text.encode()
                stream.append(f"M 100644 inline {json.dumps(file)}\ndata {len(data)}\n".encode() + data + b"\n")
        subprocess.run(["git", "--git-dir", path, "fast-import", "--quiet"], input=b"".join(stream), check=True)
        refs = []
        for number, base in enumerate(commits, 1):
            commit = subprocess.run(["git", "--git-dir", path, "rev-parse", f"refs/heads/c{number}"],
                                    capture_output=True, text=True, check=True).stdout.strip()
            refs.append(f"update refs/replace/{base} {commit}\n")
        subprocess.run(["git", "--git-dir", path, "update-ref", "--stdin"], input="".join(refs), text=True, check=True)
