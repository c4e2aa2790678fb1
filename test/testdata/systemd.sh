#!/bin/bash
# usage: systemd.sh PROGRAM UNIT DIRECTORY
# In namespaces of its own, on a throw-away copy of this system, systemd is
# process 1 and runs the unit; what is seen is written to DIRECTORY/seen.
set -eu
program=$(realpath "$1") unit=$(realpath "$2") out=$(realpath "$3")
mkdir "$out/copy"
mount -t tmpfs tmpfs "$out/copy"
cd "$out/copy"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
root=$PWD/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/out"
mount --bind "$out" "$root/out"

rm -rf "$root"/etc/systemd/system/*.wants
for u in systemd-udevd systemd-udev-trigger systemd-networkd systemd-resolved systemd-timesyncd systemd-modules-load systemd-sysctl systemd-remount-fs; do
	ln -sf /dev/null "$root/etc/systemd/system/$u.service"
done
install -m 755 "$program" "$root/usr/bin/mailserver"
install -m 644 "$unit" "$root/etc/systemd/system/mailserver.service"
mkdir "$root/etc/systemd/system/mailserver.service.d"
printf '[Service]\nWatchdogSec=5s\n' >"$root/etc/systemd/system/mailserver.service.d/watchdog.conf"
rm -rf "$root/var/lib/mailserver"
chroot "$root" useradd -r -d /var/lib/mailserver -s /usr/sbin/nologin mailserver
install -d -m 711 -o "$(chroot "$root" id -u mailserver)" "$root/var/lib/mailserver"
chroot "$root" setpriv --reuid mailserver --regid mailserver --clear-groups mailserver init --own-mail --hostname mx.example \
	--data /var/lib/mailserver --postmaster root@mx.example

cat >"$root/etc/systemd/system/probe.target" <<'U'
[Unit]
Wants=mailserver.service probe.service
U
cat >"$root/etc/systemd/system/probe.service" <<'U'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash /probe.sh
U
cat >"$root/probe.sh" <<'P'
show() { systemctl show -p "$1" --value mailserver; }
# until PROPERTY VALUE waits for it
until_is() {
	for _ in $(seq 60); do
		[ "$(show "$1")" = "$2" ] && break
		sleep 1
	done
	echo "$1=$(show "$1")"
}
{
	until_is ActiveState active
	echo "user=$(stat -c %U /proc/"$(show MainPID)")"
	grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/"$(show MainPID)"/status
	systemctl reload mailserver
	echo "reload=$?"
	kill -STOP "$(show MainPID)" # the watchdog ends it
	until_is NRestarts 1
	until_is ActiveState active
	kill -KILL "$(show MainPID)"
	until_is NRestarts 2
	until_is ActiveState active
	systemctl stop mailserver
	echo "ended=$(show ActiveState) $(show Result) $(show ExecMainStatus)"
} >/out/seen 2>&1
systemctl exit 0
P
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd --unit=probe.target --log-target=console --show-status=0
