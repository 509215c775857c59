#!/bin/sh
# After an installation or upgrade, of the deb and of the rpm. It starts nothing that was not running: without plans there
# is nothing to watch.
set -e
systemd-sysusers cutover.conf
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A controller that is under way goes on with the new program.
    systemctl try-restart cutover.service
fi
