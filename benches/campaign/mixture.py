"""The mixture of answers, made at run time out of the known fixes, and the figures that follow from it."""

import re

# What the weak model does with an instance in direct form, and what is right when. The classes go round by the sorted ids.
AT_ONCE, AFTER_FEEDBACK, STRONG_ONLY, NEVER = "at once", "after feedback", "strong only", "never"
MIXTURE = [AT_ONCE, AFTER_FEEDBACK, STRONG_ONLY, AT_ONCE, NEVER, AFTER_FEEDBACK]
# Made worse: feedback helps no longer often enough.
WORSE = [AT_ONCE, STRONG_ONLY, NEVER, AFTER_FEEDBACK, NEVER, STRONG_ONLY]
ATTEMPTS = 6
FALLBACK_AFTER = 3


def hunks(patch):
    """Yields (path, first old line, old lines, new lines) for each hunk."""
    path, hunk = None, None
    for line in patch.splitlines() + ["diff "]:
        if line.startswith(("diff ", "@@")) and hunk:
            yield path, hunk["first"], hunk["old"], hunk["new"]
            hunk = None
        if line.startswith("+++ "):
            path = line[6:]
        elif line.startswith("@@"):
            hunk = {"first": int(re.match(r"@@ -(\d+)", line).group(1)), "old": [], "new": []}
        elif hunk and not line.startswith("\\"):
            if line[:1] != "+":
                hunk["old"].append(line[1:])
            if line[:1] != "-":
                hunk["new"].append(line[1:])


def block(path, lines, text):
    return f"FILE: {path}\nLINES: {lines}\nREASONING: a repair\n```\n{text}\n```\n"


def replace(path, first, old, new):
    return block(path, f"{first}-{first + len(old) - 1}", "\n".join(new))


def wrong(row):
    """Answers that must not resolve anything, with the code of the refusal where they are refused."""
    path, first, old, _ = next(hunks(row["patch"]))
    test = re.search(r"^\+\+\+ b/(.*)$", row["test_patch"], re.M).group(1)
    guess = block(path, "EOF", "_UNUSED_GUESS = 1")
    return [(guess, None),
            (block(test, "EOF", "_UNUSED_TEST = 1"), "E-PROTECTED"),
            (block(path, "EOF", "_UNUSED_LOG = __import__('os').popen('git log').read()"), "E-HISTORY"),
            (replace(path, first, old, old), "E-NOOP"),
            ("The bug lies elsewhere; nothing has to be changed here.\n", "E-NOEDIT"),
            (guess, "E-REPEAT")]


def answers(rows, mixture):
    """Returns what the server answers for each instance."""
    out = []
    for row, kind in classes(rows, mixture):
        right = "\n".join(replace(*hunk) for hunk in hunks(row["patch"]))
        false = [text for text, _ in wrong(row)]
        # The diff with its counts wrong and its context gone: what small models write.
        malformed = re.sub(r"^@@ .*@@", "@@ -1,99 +1,99 @@", row["patch"], flags=re.M).replace("\n ", "\n")
        weak = {AT_ONCE: [right], AFTER_FEEDBACK: [*false[:right_at(row)], right]}.get(kind, false)
        strong = false if kind == NEVER else [right]
        out.append({"issue": issue(row), "patch": [malformed], "weak": weak, "strong": strong})
    return out


def issue(row):
    """The first line of an issue's text, which every prompt shows."""
    return row["problem_statement"].strip().splitlines()[0].rstrip()


def right_at(row):
    """How many attempts fail before the one that is right after feedback."""
    return 1 + len(row["instance_id"]) % 3


def classes(rows, mixture):
    return [(row, mixture[place % len(mixture)]) for place, row in enumerate(rows)]


def attempts(row, kind, arm):
    """Returns the number of the attempt that resolves an instance with an arm, None if none does, and how many are made."""
    most, fallback = {"patch": (1, False), "direct-1": (1, False), "direct-6": (ATTEMPTS, False),
                      "direct-6+fallback": (ATTEMPTS, True)}[arm]
    if arm == "patch":
        return None, 1
    weak = {AT_ONCE: 1, AFTER_FEEDBACK: right_at(row) + 1}.get(kind)
    if weak and weak <= most and (weak <= FALLBACK_AFTER or not fallback):
        return weak, weak
    if fallback and kind != NEVER:
        return FALLBACK_AFTER + 1, FALLBACK_AFTER + 1
    return None, most


def expected(rows, mixture, arm):
    """Returns the figures of an arm: resolved ids, resolved by attempt, attempts made, refusals by code."""
    resolved, at, made, codes = [], {}, 0, {}
    for row, kind in classes(rows, mixture):
        attempt, most = attempts(row, kind, arm)
        made += most
        if attempt:
            resolved.append(row["instance_id"])
            at[str(attempt)] = at.get(str(attempt), 0) + 1
        if arm != "patch":
            for _, code in wrong(row)[:(attempt - 1) if attempt else most]:
                if code:
                    codes[code] = codes.get(code, 0) + 1
    return {"resolved": resolved, "resolved_at": at, "attempts": made, "codes": codes}
