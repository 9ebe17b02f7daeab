# SPDX-License-Identifier: MIT
# The build for 64-bit Windows and its tests under Wine; sourced by tests/run, whose functions it uses.

find_wine() {
    wine=$(command -v /usr/lib/wine/wine64 wine64 wine | head -n 1)
    wineserver=$(command -v /usr/lib/wine/wineserver64 wineserver64 wineserver | head -n 1)
    [ -n "$wine" ] && [ -n "$wineserver" ]
}

need_windows() {
    need_command gcc-mingw-w64-x86-64-win32 x86_64-w64-mingw32-gcc-win32
    need_command g++-mingw-w64-x86-64-win32 x86_64-w64-mingw32-g++-win32
    need wine64 find_wine
}

# Builds cmocka, which Debian does not have for Windows, from Debian's source package, once. The lists
# of source packages stay in .build/: the system's own settings are left as they are.
make_windows_cmocka() {
    local dir
    dir=$(pwd)/.build/windows-cmocka
    [ -f "$dir/lib/pkgconfig/cmocka.pc" ] && return 0
    rm -rf "$dir"
    mkdir -p "$dir/lists/partial" "$dir/include" "$dir/lib/pkgconfig"
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) main' 'Created-By: Packages' \
        'Origin: Debian' 'Component: main' | awk '$2 !~ /-/' | head -n 1 |
        sed 's|^|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] |' \
            >"$dir/sources.list"
    local options=(-o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache")
    apt-get "${options[@]}" update &&
        (cd "$dir" && apt-get "${options[@]}" source --download-only cmocka) &&
        "$python" -m tarfile -e "$dir"/cmocka_*.orig.tar.xz "$dir/source" || return 1
    rm -rf "$dir/lists" "$dir/cache"
    local source
    source=$(echo "$dir"/source/cmocka-*)
    # It calls C99's printf(); to this compiler the word alone means Microsoft's.
    sed 's/__format__ (__printf__/__format__ (__gnu_printf__/' "$source/include/cmocka.h" \
        >"$dir/include/cmocka.h"
    x86_64-w64-mingw32-gcc-win32 -O2 -D__USE_MINGW_ANSI_STDIO=1 -I"$dir/include" \
        -I"$source/include" -c "$source/src/cmocka.c" -o "$dir/cmocka.o" &&
        x86_64-w64-mingw32-ar rcs "$dir/lib/libcmocka.a" "$dir/cmocka.o" &&
        cat >"$dir/lib/pkgconfig/cmocka.pc" <<TEXT
Name: cmocka
Description: unit tests
Version: $(basename "$source" | sed 's/cmocka-//')
Cflags: -I$dir/include
Libs: -L$dir/lib -lcmocka
TEXT
}

write_windows_cross_file() {
    cat >.build/windows.ini <<TEXT
[binaries]
c = 'x86_64-w64-mingw32-gcc-win32'
cpp = 'x86_64-w64-mingw32-g++-win32'
ar = 'x86_64-w64-mingw32-ar'
strip = 'x86_64-w64-mingw32-strip'
pkgconfig = 'pkg-config'
pkg-config = 'pkg-config'
python3 = '$("$python" -c 'import sys; print(sys.executable)')'
exe_wrapper = '$wine'
[properties]
pkg_config_libdir = '$(pwd)/.build/windows-cmocka/lib/pkgconfig'
test_wrapper = ['$wine']
[host_machine]
system = 'windows'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
TEXT
}

# Makes a place for Wine to run in. Left to itself it would fill it with 700 MB of copies.
make_wine_prefix() {
    local libraries=/usr/lib/x86_64-linux-gnu/wine/x86_64-windows folder=$WINEPREFIX/drive_c/windows
    if [ ! -e "$WINEPREFIX/.update-timestamp" ] && [ -d $libraries ]; then
        rm -rf "$WINEPREFIX"
        mkdir -p "$folder/system32" &&
            cp -s $libraries/* "$folder/system32/" &&
            echo disable >"$WINEPREFIX/.update-timestamp"
    fi
    "$wine" wineboot 9>&-
}

windows() {
    if ! find_wine || ! make_windows_cmocka >.build/windows-cmocka.log 2>&1 </dev/null; then
        tail -n 20 .build/windows-cmocka.log
        add 0 1 0 windows 0
        return
    fi
    write_windows_cross_file
    local -x WINEPREFIX WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=' DISPLAY='' LC_ALL=C.UTF-8
    WINEPREFIX=$(pwd)/.build/wine
    make_wine_prefix >.build/wine.log 2>&1 </dev/null
    # One program runs all the time, or Wine's services would begin and end with a test, and keep its
    # output open when it is done.
    exec 8> >(exec "$wine" cmd >/dev/null 2>&1 9>&-)
    build_and_test windows --cross-file .build/windows.ini -Dbuildtype=release
    "$wineserver" -k
    exec 8>&-
}
