# The life of the package in a booted Debian: installed, started, used, killed, upgraded, removed,
# installed again, purged. The last words of a run that failed are the step and the command.
set -eux
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export DEBIAN_FRONTEND=noninteractive
cd /root
home=/var/lib/ddes

# Waits until a command succeeds, for at most 30 s.
await() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    "$@"
}
pid() { systemctl show --property=MainPID --value ddes.service; }
# `set -e` does not hear of a `!` that fails.
fails() { if "$@"; then return 1; fi; }
is_another() { test "$(pid)" != "$1" && test "$(pid)" != 0 && systemctl is-active --quiet ddes; }

: refused where a person is called ddes, who stays whatever is done with the package
dora=/srv/dora
useradd --create-home --home-dir $dora ddes
fails dpkg -i /shared/new.deb
test ! -e $home
fails systemctl is-active --quiet ddes
dpkg --purge ddes
getent passwd ddes
getent group ddes
test -d "$dora"
userdel --remove ddes

: installed and started
dpkg -i /shared/old.deb
await systemctl is-active --quiet ddes
test "$(stat -c '%U %G %a' $home)" = 'ddes ddes 700'
systemctl is-enabled --quiet ddes
test "$(systemctl is-enabled ddes.socket || true)" = disabled
systemctl show --property=StatusText --value ddes | grep 'Serving on 127.0.0.1:5566, '
systemd-analyze verify --man=no ddes.service ddes.socket
systemd-analyze security --threshold=25 ddes.service >/dev/null
test -f /usr/share/man/man1/ddes-serve.1.gz || test -d /etc/dpkg/dpkg.cfg.d
bash -c '. /usr/share/bash-completion/completions/ddes && complete -p ddes'

: used, under the unit with its system calls
ddes check
ddes key new anna --quiet >anna.pub
ddes authorize anna.pub --home $home
test "$(stat -c %U $home/authorized_keys)" = ddes
trust=$(ddes key show --server-key --home $home | sed -n 's/ *fingerprint *//p')
test "$(ddes send --as anna --trust "$trust" 42 50 | tail -1)" = 92
seq 1000 | ddes send --as anna --quiet - | grep -x 500592
ddes doctor --home $home --json >doctor
grep -c '"level":"ok"' doctor
fails grep '"level":"fail"' doctor

: hangs, and is started again by the watchdog
mkdir -p /run/systemd/system/ddes.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\nRestartSec=100ms\n' \
    >/run/systemd/system/ddes.service.d/quick.conf
systemctl daemon-reload
systemctl restart ddes
before=$(pid)
kill -STOP "$before"
await is_another "$before"
test "$(ddes total --as anna)" = 500592
rm -r /run/systemd/system/ddes.service.d
systemctl daemon-reload

: upgraded, with the sums intact
before=$(pid)
old=$(dpkg-query --show --showformat '${Version}' ddes)
dpkg -i /shared/new.deb
dpkg --compare-versions "$(dpkg-query --show --showformat '${Version}' ddes)" gt "$old"
await is_another "$before"
await ddes check
test "$(ddes total --as anna)" = 500592
test "$(ddes send --as anna 8)" = 500600
ddes ledger verify --home $home

: started by its socket
systemctl stop ddes
systemctl enable --now ddes.socket
test "$(ddes total --as anna)" = 500600
systemctl is-active --quiet ddes
systemctl disable --now ddes.socket
systemctl restart ddes
await ddes check

: removed, and installed again
dpkg --remove ddes
fails systemctl is-active --quiet ddes
fails ddes check
test -f $home/server_key
dpkg -i /shared/new.deb
await ddes check
hash -r
test "$(ddes total --as anna)" = 500600

: purged, and nothing is left
dpkg --purge ddes
fails getent passwd ddes
fails getent group ddes
test ! -e $home
test ! -e /etc/ddes
test ! -e /etc/default/ddes
test -z "$(find / -xdev -path /proc -prune -o -path /sys -prune -o -path /shared -prune \
    -o -path /root -prune -o -path /var/log -prune -o -path /run -prune -o -path /tmp -prune \
    -o -name '*ddes*' -not -path '/var/lib/dpkg/*' -print)"

echo passed >/shared/result
