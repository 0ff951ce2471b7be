#!/bin/sh
# Boots a clean Debian with systemd in a container of its own network, and runs inside.sh in it.
# `cargo xtask package --test` starts this in a mount namespace of its own (unshare --mount), so that
# all it mounts ends with it.
#
# usage: outside.sh ROOT WORK OLD.deb NEW.deb
#   ROOT  a Debian that debootstrap made; it is not changed
#   WORK  an empty folder: what the container changes, and its result
set -eu
root=$1 work=$2 old=$3 new=$4

mount -t tmpfs tmpfs /run
mkdir -p /run/systemd "$work/upper" "$work/below" "$work/merged" "$work/shared"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/below" "$work/merged"

cp "$old" "$work/shared/old.deb"
cp "$new" "$work/shared/new.deb"
cp "$(dirname "$0")/inside.sh" "$work/shared/inside.sh"
cat >"$work/merged/etc/systemd/system/package-test.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /shared/inside.sh
StandardOutput=append:/shared/log
StandardError=append:/shared/log
ExecStopPost=/bin/systemctl --no-block exit
UNIT
mkdir -p "$work/merged/etc/systemd/system/multi-user.target.wants"
ln -s ../package-test.service "$work/merged/etc/systemd/system/multi-user.target.wants/"

timeout 300 systemd-nspawn --quiet --register=no --keep-unit --private-network --boot \
    --bind="$work/shared:/shared" --directory="$work/merged" \
    </dev/null >"$work/boot" 2>&1 || true

cat "$work/shared/log" 2>/dev/null || cat "$work/boot"
test "$(cat "$work/shared/result" 2>/dev/null)" = passed
