#!/bin/sh
# Run by copies.yml.
echo "script in $(basename "$PWD")"
echo scripted > "$1"
