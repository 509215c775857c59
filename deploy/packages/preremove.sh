#!/bin/sh
# Before a removal, of the deb (`remove`) and of the rpm (`0`), and before an upgrade, which must not stop the controller.
# The journal and the plans stay.
set -e
if [ "$1" = remove ] || [ "$1" = 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl disable --now cutover.service
    fi
fi
