"""Damages a recorded run's store and looks who notices: `python3 run.py RUNPROOF STORE [FLIPS] [SEED]`.

STORE is a closed store with one or more runs. Two loops, one bit a time on a fresh copy:

- anywhere in the file: `store verify` must find it, or everything that the store says must be as it was;
- in the packed bodies (`block.z`, `hot.bytes`): `replay` of a run whose body it hits must refuse it, and `store verify`
  must find it.
"""

import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    store = pathlib.Path(sys.argv[2]).resolve()
    flips = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    chance = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="damage-"))
    copy = folder / "store.sqlite"

    def run(*words):
        done = subprocess.run([program, *words, "--store", str(copy)], cwd=folder, capture_output=True)
        if done.returncode not in (0, 1, 2, 3, 4, 5):
            sys.exit(f"{words} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done

    def says(runs):
        """Everything that the store says of its runs."""
        shown = [run("log", "--json").stdout]
        for name in runs:
            shown += [run("log", name, "--json").stdout, run("show", name, "--json").stdout]
        return shown

    shutil.copy(store, copy)
    rows = sqlite3.connect(f"file:{store}?mode=ro&immutable=1", uri=True).execute("SELECT id FROM run").fetchall()
    runs = [row[0] for row in rows]
    assert run("store", "verify").returncode == 0, "the store is damaged already"
    assert all(run("replay", name).returncode == 0 for name in runs), "a run does not replay"
    undamaged, sound = says(runs), store.read_bytes()

    found = harmless = 0
    for _ in range(flips):
        damaged = bytearray(sound)
        damaged[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        copy.write_bytes(damaged)
        if run("store", "verify").returncode != 0:
            found += 1
            continue
        assert says(runs) == undamaged, "a flip that nothing noticed changed what the store says"
        harmless += 1
    print(f"file: {flips} flips, {found} found by verify, {harmless} without effect, 0 unnoticed")

    refused = elsewhere = 0
    for _ in range(flips):
        shutil.copy(store, copy)
        database = sqlite3.connect(copy)
        tables = [(table, column, row, length) for table, column in (("block", "z"), ("hot", "bytes"))
                  for row, length in database.execute(f"SELECT id, length({column}) FROM {table}")]
        table, column, row, length = chance.choices(tables, weights=[entry[3] for entry in tables])[0]
        bytes_ = bytearray(database.execute(f"SELECT {column} FROM {table} WHERE id = ?", (row,)).fetchone()[0])
        bytes_[chance.randrange(length)] ^= 1 << chance.randrange(8)
        database.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (bytes(bytes_), row))
        database.commit()
        database.close()
        assert run("store", "verify").returncode != 0, f"verify took a damaged {table} {row} for sound"
        if any(run("replay", name).returncode != 0 for name in runs):
            refused += 1
        else:
            elsewhere += 1
    print(f"bodies: {flips} flips, all found by verify, {refused} refused by replay, "
          f"{elsewhere} in bytes that no replayed body uses")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
