# The programs that building and testing need, and how to install them. ./demo and ./test source this file.
# shellcheck shell=bash

# program:package of Debian and Ubuntu
building=(git:git)
testing=(qemu-img:qemu-utils mkfs.ext4:e2fsprogs prlimit:util-linux zstd:zstd)
# Without these, some tests are skipped, and say so.
helpful=(nbdkit:nbdkit strace:strace sfdisk:fdisk sgdisk:gdisk parted:parted cryptsetup:cryptsetup-bin mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs 7zz:7zip)
# What packages are tried with.
helpful+=(man:man-db groff:groff zsh:zsh fish:fish parallel:parallel rpm:rpm skopeo:skopeo apparmor_parser:apparmor)
# Readers and writers of disk images that are neither qemu-img nor ours: Python module:package, and Python packages.
modules=(pyvhdi:python3-libvhdi pyvmdk:python3-libvmdk pyqcow:python3-libqcow VMDKstream:python3-vmdkstream ensurepip:python3-venv)
readers=(dissect.hypervisor==3.21 backports.zstd==1.8.0 pyvhd==0.0.1 pyzstd==0.20.0)
opinions=target/second-opinion

rust_by_hand="Rust is missing; install it with the command from https://rustup.rs (this script finds it in ~/.cargo/bin)"

# rustup's own installer adds this directory to the shells that are started after it.
if ! command -v cargo >/dev/null && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

has() {
    PATH="$PATH:/sbin:/usr/sbin" command -v "$1" >/dev/null
}

# Packages of the programs that are missing, one a line.
packages_of() {
    local pair
    for pair in "$@"; do
        has "${pair%%:*}" || echo "${pair##*:}"
    done
}

# A C compiler that links, and the C library to link with: the package gcc does without the second.
has_compiler() {
    has cc && [[ -e "$(cc -print-file-name=libc.a)" ]]
}

packages_of_compiler() {
    has_compiler || printf '%s\n' gcc libc6-dev
    # The runtime of the search (cargo xtask fuzz) is C++.
    has c++ || echo g++
}

packages_of_modules() {
    local pair
    for pair in "${modules[@]}"; do
        /usr/bin/python3 -c "import ${pair%%:*}" 2>/dev/null || echo "${pair##*:}"
    done
}

offered() {
    [[ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]]
}

# rustup, if the distribution has it: it reads rust-toolchain.toml and installs that release.
package_of_rust() {
    has cargo && return
    if has apt-get && offered rustup; then echo rustup; fi
}

# Announces and installs packages, and names those that cannot be installed.
install() {
    (($#)) || return 0
    if ! has apt-get; then
        echo "these programs are missing, and there is no apt-get to install them: $*"
        return 0
    fi
    local as_root=()
    if (($(id -u) != 0)); then
        has sudo || {
            echo "these programs are missing, and only root can install them: $*"
            return 0
        }
        as_root=(sudo)
    fi
    echo "installing: $*"
    if ! "${as_root[@]}" apt-get update -qq </dev/null; then
        echo "could not update the package lists"
    fi
    local package known=()
    # An older release lacks some packages; install the others anyway.
    for package in "$@"; do
        if offered "$package"; then known+=("$package"); else echo "this distribution has no package $package"; fi
    done
    ((${#known[@]})) || return 0
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${known[@]}" </dev/null ||
        echo "could not install: ${known[*]}"
}

# Ends with one line for each program that is still missing.
require() {
    local pair missing=0
    for pair in "$@"; do
        has "${pair%%:*}" || {
            echo "${pair%%:*} is missing; install the package ${pair##*:} and start again" >&2
            missing=1
        }
    done
    has_compiler || {
        echo "a C compiler is missing; install the packages gcc and libc6-dev and start again" >&2
        missing=1
    }
    has cargo || {
        echo "$rust_by_hand" >&2
        missing=1
    }
    ((missing == 0)) || exit 1
}

# Installs Python packages that read images into a directory of their own.
bring_readers() {
    [[ "$(cat "$opinions/readers" 2>/dev/null)" != "${readers[*]}" ]] || return 0
    echo "installing into $opinions: ${readers[*]}"
    if rm -rf "$opinions" && /usr/bin/python3 -m venv "$opinions" &&
        "$opinions/bin/pip" install --quiet --disable-pip-version-check "${readers[@]}" </dev/null; then
        echo "${readers[*]}" >"$opinions/readers"
    else
        echo "could not install: ${readers[*]}"
    fi
}
