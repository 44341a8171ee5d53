#!/usr/bin/env bash
# Stand-in for python:3.11.14-slim-trixie: `base.sh TAG LABEL`. Debian trixie by debootstrap, this machine's Python 3.11 in
# /usr/local with pip alone, its certificates; no compiler, as in the official image. Needs root.
set -euo pipefail
tag=$1 label=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
packages=ca-certificates,netbase,tzdata,libexpat1,libffi8,libsqlite3-0,libssl3t64,libncursesw6,libreadline8t64,libbz2-1.0,liblzma5,libuuid1
debootstrap --variant=minbase --include=$packages trixie "$root" http://deb.debian.org/debian >/dev/null
cp /etc/resolv.conf "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
python=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
mkdir -p "$root/usr/local/include"
cp -a "$python/bin/python3.11" "$root/usr/local/bin/"
cp -a "$python/include/python3.11" "$root/usr/local/include/"
cp -a "$python"/lib/libpython3* "$root/usr/local/lib/" 2>/dev/null || true
tar -C "$python/lib" -c --exclude=__pycache__ --exclude=test --exclude='python3.11/site-packages/*' \
    --exclude='config-3.11*' python3.11 | tar -C "$root/usr/local/lib" -x
cp -a "$python"/lib/python3.11/site-packages/pip* "$root/usr/local/lib/python3.11/site-packages/"
ln -s python3.11 "$root/usr/local/bin/python3"
ln -s python3 "$root/usr/local/bin/python"
rm -rf "$root"/var/cache/apt/archives/*.deb
chroot "$root" ldconfig
tar -C "$root" -c --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' . |
    docker import \
        -c 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
        -c 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
        -c "LABEL driftline.standin=$label" \
        -c 'CMD ["python3"]' - "$tag"
