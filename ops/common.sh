# Sourced by the scripts beside it; not run by itself.
# shellcheck shell=bash

set -euo pipefail

# shellcheck disable=SC2034  # used by the scripts that source this
# The packages that a Swift toolchain needs on a bare Debian, and the libraries Penstock links.
build_packages=(
  ca-certificates git binutils g++ libc6-dev pkg-config tzdata
  libcurl4 libncurses6 libxml2 libsqlite3-dev zlib1g-dev
)

swift_minimum=6.2

# The builds, all in .build, where other flags are another build of everything: whoever shares one with another script builds alike. None has the
# debugger's tables, an eighth of the time. Which modules are optimised where most are not, Package.swift says: docs/decisions/0058-build-time.md.
# The one that runs soonest: without TLS, tokens and the mesh, and optimised only where each event passes.
# shellcheck disable=SC2034  # used by the scripts that source this
quick_build=(env PENSTOCK_BUILD=quick swift build --jobs 4 -c release --disable-default-traits -debug-info-format none -Xswiftc -Onone)
# The one to measure: optimised throughout, in a folder of its own.
# shellcheck disable=SC2034
bench_build=(swift build --scratch-path .build/bench --jobs 4 -c release --disable-default-traits -debug-info-format none)
# shellcheck disable=SC2034
secure_build=(swift build -c release -debug-info-format none)
# shellcheck disable=SC2034
test_build=(swift build --build-tests --jobs 4 -debug-info-format none)

say() { printf '\n== %s\n' "$*" >&2; }

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Runs a command as root: as it is where we are root, else through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Installs those of the named Debian packages that are missing; asks nothing of the network where none is.
need_packages() {
  local package status
  local missing=()
  command -v dpkg-query >/dev/null ||
    fail "this is no Debian: install these packages, or what they are called here, and run 'swift build': $*"
  for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    fail "packages are missing, and neither are we root nor is sudo there. As root: apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  as_root apt-get update -q >&2 || fail "apt-get update failed: is Debian's archive reachable?"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install: ${missing[*]}"
}

# Ends unless a recent enough Swift is on the PATH.
need_swift() {
  local how="Get it from https://www.swift.org/install/linux/ (Debian 12 is listed), or with swiftly: \
https://www.swift.org/swiftly/. Then put its usr/bin on the PATH."
  command -v swift >/dev/null || fail "Swift is not on the PATH. $how"
  local text version
  text=$(swift --version 2>&1) || fail "swift does not run: $text"
  version=$(sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' <<<"$text" | head -n 1)
  [ -n "$version" ] || fail "cannot tell Swift's version from: $text"
  if [ "$(printf '%s\n' "$swift_minimum" "$version" | sort -V | head -n 1)" != "$swift_minimum" ]; then
    fail "Swift $version is too old: $swift_minimum or later is needed. $how"
  fi
}
