#!/usr/bin/env bash
# Verifies certificates in CI; the step of action.yml, and of any other system. Reads its inputs from the environment:
# CERTIFICATES (paths or globs, one a line), POLICY, and optionally EVIDENCE, REQUIRE, JUNIT (a folder), BINARY, FORMAT.
set -euo pipefail
shopt -s nullglob globstar

here="$(cd "$(dirname "$0")/../.." && pwd)"
binary="${BINARY:-}"
if [ -z "$binary" ]; then
  # The small build: it verifies and replays, and can neither infer nor reach a network.
  cargo build --release --locked --no-default-features --manifest-path "$here/Cargo.toml"
  binary="$here/target/release/runproof"
fi

options=(--policy "$POLICY")
[ -z "${EVIDENCE:-}" ] || options+=(--evidence "$EVIDENCE")
[ -z "${REQUIRE:-}" ] || options+=(--require "$REQUIRE")
[ -z "${JUNIT:-}" ] || mkdir -p "$JUNIT"

found=0 worst=0
while IFS= read -r pattern; do
  [ -n "$pattern" ] || continue
  # Only globs are expanded: a blank in a name is part of it.
  IFS= matches=($pattern)
  for certificate in "${matches[@]}"; do
    found=$((found + 1))
    code=0
    "$binary" verify "$certificate" "${options[@]}" --format "${FORMAT:-github}" || code=$?
    [ "$code" -le "$worst" ] || worst=$code
    if [ -n "${JUNIT:-}" ]; then
      "$binary" verify "$certificate" "${options[@]}" --format junit > "$JUNIT/certificate-$found.xml" || true
    fi
  done
done <<< "$CERTIFICATES"

# A job that verified nothing has shown nothing.
if [ "$found" = 0 ]; then
  echo "::error title=runproof verify::no certificate was found"
  exit 4
fi
exit "$worst"
