# SPDX-License-Identifier: MIT
"""House rules that a machine can hold: layers, sizes, calls, globals, comments, documentation.

Usage: check.py SOURCE_ROOT [STATIC_LIBRARY]. Prints a line for each finding; exit status 1 if any.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import status_codes

# ---- the rules' tables -------------------------------------------------------------------------

TOP_LEVEL = {
    "meson.build", "meson_options.txt", "README.md", "LICENSE",
    "include", "lib", "examples", "tests", "docs", "bindings",
}  # fmt: skip

# From low to high; folders of one row are siblings and do not include each other.
LAYERS = [
    {"base"},
    {"kernels"},
    {"format"},
    {"plan"},
    {"model", "tokenizer", "template", "sampler"},
    {"session"},
    {"inspect", "compress", "train", "evaluate", "meter"},
    {"api"},
]

# The layer (besides api) that implements a public header, and so may include it.
PUBLIC_HEADER_LAYERS = {
    "base.h": {layer for row in LAYERS for layer in row},
    "chat.h": {"template"},
    "experimental/convert.h": set(),
    "experimental/evaluate.h": {"evaluate"},
    "experimental/profile.h": set(),
    "experimental/speculate.h": {"session"},
    "model.h": {"model"},
    "sampler.h": {"sampler", "session"},
    "prefix.h": {"session"},
    "saved.h": {"session"},
    "sequence.h": {"session"},
    "session.h": {"session"},
    "tokenizer.h": {"tokenizer", "session"},
}

MAX_FILE_LINES = 1000
MAX_HEADER_LINES = 500
MAX_README_LINES = 20
MAX_COLUMNS = 110  # the aim is 100
MAX_FUNCTION_LINES = 100
MAX_KERNEL_LINES = 150
# Files and functions over the limits, path or path:function. This list only shrinks.
OVERSIZED = set()

# Calls that a guest in somebody else's program does not make: they end it, print, allocate behind
# its back, or depend on its locale and environment.
FORBIDDEN_CALLS = (
    "abort assert exit _exit atexit quick_exit raise signal system popen fork "
    "printf vprintf fprintf vfprintf dprintf sprintf vsprintf asprintf puts fputs putchar perror "
    "fopen fread fwrite fclose scanf sscanf fscanf malloc calloc realloc free posix_memalign "
    "aligned_alloc memalign alloca strdup strndup qsort getline getenv setenv putenv setlocale "
    "atof atoi strtod strtof strtold strtol strtoul strtoll strtoull strtok strerror rand srand "
    "_aligned_malloc _aligned_free slmi_os_alloc slmi_os_free random time localtime gmtime exp expf exp2f log logf pow powf sin sinf cos cosf tanh tanhf"
).split()
# What a file may call all the same: alloc.c has the system's part to itself, which has the C library's.
OS_ALLOCATOR = {"slmi_os_alloc", "slmi_os_free"}
CALL_EXCEPTIONS = {
    "lib/base/alloc.c": OS_ALLOCATOR,
    "lib/base/os/os.h": OS_ALLOCATOR,
    "lib/base/os/posix.c": OS_ALLOCATOR | {"malloc", "free", "posix_memalign"},
    "lib/base/os/windows.c": OS_ALLOCATOR | {"_aligned_malloc", "_aligned_free"},
}
# Which object of the static library asks for these, and no other.
ONLY_FROM = {
    "malloc": "base_os_posix.c.o", "free": "base_os_posix.c.o", "posix_memalign": "base_os_posix.c.o",
    "slmi_os_alloc": "base_alloc.c.o", "slmi_os_free": "base_alloc.c.o",
}  # fmt: skip

# The library's only undefined symbols: what it asks of libc, libm and threads.
ALLOWED_SYMBOLS = set(
    "memcpy memmove memset memcmp bcmp memchr strlen strcmp strncmp strchr strstr "
    "snprintf vsnprintf "
    "__errno_location __stack_chk_fail _GLOBAL_OFFSET_TABLE_ "
    "open open64 close pread pread64 fstat fstat64 stat stat64 mmap mmap64 munmap madvise "
    "write fsync rename unlink "
    "posix_madvise sysconf clock_gettime getpid sched_yield sched_getaffinity __sched_cpucount "
    "getauxval posix_memalign malloc free fma fmaf sqrt sqrtf floor floorf rintf nearbyintf "
    "pthread_create pthread_join pthread_attr_init pthread_attr_destroy "
    "pthread_attr_getstacksize pthread_attr_setstacksize pthread_mutex_init "
    "pthread_mutex_destroy pthread_mutex_lock pthread_mutex_unlock pthread_cond_init pthread_cond_destroy pthread_cond_wait "
    "pthread_cond_signal pthread_cond_broadcast pthread_sigmask sigfillset".split()
)

# Notes to oneself, addresses of package indexes, paths of one machine; spelled so that none stands here.
WORDS_NOT_LEFT_BEHIND = re.compile(
    r"\b(TODO|FIXME|XXX|HACK)\b|index[-]url|find[-]links|(?<![\w}])[/](home|root)[/]\w"
)
COMMIT_SUBJECT = re.compile(r"^[a-z0-9_./+-]+(, [a-z0-9_./+-]+)*: \S.*[^.]$")
COMMENT_OPENINGS = {
    ".c": "/* ", ".h": "/* ", ".S": "/* ", ".cpp": "// ", ".hpp": "// ", ".js": "// ",
    ".py": "# ", ".build": "# ", ".sh": "# ", ".ini": "# ", ".toml": "# ", ".map": "# ",
    ".lua": "-- ",
}  # fmt: skip
SPDX = "SPDX-License-Identifier: MIT"


# ---- reading -----------------------------------------------------------------------------------


def list_files(root):
    """Paths of the project's files, relative to root, as git sees them (or all, outside of git)."""
    options = ["-z", "--cached", "--others", "--exclude-standard"]
    command = ["git", "-C", str(root), "ls-files", *options]
    try:
        out = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        return sorted(p for p in out.split("\0") if p and (root / p).is_file())
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
            found += [str(Path(folder, f).relative_to(root)) for f in files]
        return sorted(found)


class Source:
    """One text file of the project."""

    def __init__(self, root, path):
        self.path = path
        self.text = (root / path).read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.suffix = Path(path).suffix
        self.is_c = self.suffix in (".c", ".h")
        self.is_library = path.startswith("lib/") and self.is_c
        self.is_data = path.endswith(("_data.c", "_data.h", "_goldens.h"))

    def code(self):
        """The text of a C file without comments and strings, its lines kept."""

        def blank(match):
            return re.sub(r"[^\n]", " ", match.group(0))

        pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
        return re.sub(pattern, blank, self.text, flags=re.S)


def is_text(root, path):
    """False for models and the like."""
    if Path(path).suffix in (".gguf", ".bin", ".png", ".ico", ".npz"):
        return False
    with open(root / path, "rb") as file:
        return b"\0" not in file.read(4096)


# ---- checks: each yields (place, sentence) -----------------------------------------------------


def check_top_level(paths):
    for entry in sorted({p.split("/")[0] for p in paths}):
        if entry not in TOP_LEVEL and not entry.startswith("."):
            yield entry, "does not belong on the top level"


def check_opening(source):
    """SPDX line first (after #!), then a sentence of purpose."""
    lines = source.lines
    if lines and lines[0].startswith("#!"):
        lines, opening = lines[1:], "# "
    elif source.suffix in COMMENT_OPENINGS:
        opening = COMMENT_OPENINGS[source.suffix]
    else:
        return
    if not lines or not lines[0].startswith(opening + SPDX):
        yield f"{source.path}:1", f"does not open with '{opening}{SPDX}'"
    elif not any(re.match(r'^(/\* |// |# |-- |r?""")\S', line) for line in lines[1:3]):
        if Path(source.path).name != "meson.build" or "/" not in source.path:
            yield f"{source.path}:2", "no sentence of purpose after the SPDX line"


def check_text(source):
    if source.text and not source.text.endswith("\n"):
        yield source.path, "no line break at the end"
    for number, line in enumerate(source.lines, 1):
        place = f"{source.path}:{number}"
        if line != line.rstrip():
            yield place, "blank at the end of the line"
        if "\t" in line and source.suffix != ".txt":
            yield place, "tab"
        if len(line) > MAX_COLUMNS and source.is_c and not source.is_data and "http" not in line:
            yield place, f"{len(line)} columns (at most {MAX_COLUMNS})"
        if re.search(r"[\u00a0\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", line):
            yield place, "an invisible character"
        if WORDS_NOT_LEFT_BEHIND.search(line) and source.path != "tests/lint/check.py":
            yield place, f"'{WORDS_NOT_LEFT_BEHIND.search(line).group(0)}' is not left behind"


def check_sizes(source):
    limit = MAX_HEADER_LINES if source.path.startswith("include/") else MAX_FILE_LINES
    code = source.is_c or source.suffix in (".py", ".sh", ".cpp", ".hpp", ".lua")
    if code and len(source.lines) > limit and not source.is_data and source.path not in OVERSIZED:
        yield source.path, f"{len(source.lines)} lines (at most {limit})"
    if source.suffix not in (".c", ".h"):
        return
    limit = MAX_KERNEL_LINES if source.path.startswith("lib/kernels/") else MAX_FUNCTION_LINES
    for name, first, last in functions(source):
        length = last - first + 1
        if length > limit and f"{source.path}:{name}" not in OVERSIZED:
            yield f"{source.path}:{first}", f"{name} has {length} lines (at most {limit})"


def functions(source):
    """Yields (name, first line, last line) of each function: '{' and '}' stand in column 1."""
    lines = source.code().splitlines()
    first = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and number > 1:
            first = number - 1
            while first > 1 and lines[first - 2].strip() and lines[first - 2][0] not in "}#":
                first -= 1
            signature = " ".join(lines[first - 1 : number - 1])
            match = re.search(r"(\w+)\s*\(", signature)
            name = match.group(1) if match else None
        elif line.startswith("}") and first is not None:
            if name:
                yield name, first, number
            first = None


def check_includes(source):
    """Strictly downward, siblings apart, spelled from lib/."""
    layer = source.path.split("/")[1]
    rank = {folder: i for i, row in enumerate(LAYERS) for folder in row}
    if layer not in rank:
        yield source.path, f"lib/{layer} is not a layer"
        return
    for number, line in enumerate(source.lines, 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        folder, _, rest = match.group(1).partition("/")
        place = f"{source.path}:{number}"
        if folder == "slm":
            if layer != "api" and layer not in PUBLIC_HEADER_LAYERS.get(rest, ()):
                yield place, f"{layer} does not implement {match.group(1)}"
        elif folder not in rank:
            yield place, f'"{match.group(1)}" is not spelled from lib/'
        elif folder != layer and rank[folder] >= rank[layer]:
            yield place, f"{layer} may not include {folder}"


def check_calls(source):
    """Forbidden calls, and extensions outside of kernels/<arch>."""
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN_CALLS) + r")\s*\(")
    allowed = CALL_EXCEPTIONS.get(source.path, set())
    for number, line in enumerate(source.code().splitlines(), 1):
        for match in pattern.finditer(line):
            if match.group(1) not in allowed:
                yield f"{source.path}:{number}", f"calls {match.group(1)}()"


def check_examples_include(source):
    """Examples are written on the public headers alone."""
    for number, line in enumerate(source.lines, 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if match and "/" in match.group(1) and not match.group(1).startswith("slm/"):
            yield f"{source.path}:{number}", f"includes {match.group(1)}, which is not public"


def check_public_header(source):
    """Each public function has its reference page."""
    for match in re.finditer(r"^SLM_API\s+([^;]*?)(\w+)\(", source.text, re.M):
        number = source.text.count("\n", 0, match.start()) + 1
        place = f"{source.path}:{number}"
        before = source.text[: match.start()].rstrip()
        start = before.rfind("/**")
        comment = before[start:] if before.endswith("*/") and start >= 0 else ""
        for word in ("Threads:", "Since:"):
            if word not in comment:
                yield place, f"the comment of {match.group(2)} has no '{word}'"
        if match.group(1).strip() != "void" and "@return" not in comment:
            if "Returns" not in comment:
                yield place, f"the comment of {match.group(2)} does not tell what it returns"


def check_readmes(root, paths):
    files = [p.split("/") for p in paths if p.startswith("lib/") and p.count("/") > 1]
    folders = {"/".join(parts[:2]) for parts in files}
    for folder in sorted(folders):
        readme = root / folder / "README.md"
        if not readme.is_file():
            yield folder, "has no README.md"
        elif len(readme.read_text().splitlines()) > MAX_README_LINES:
            yield f"{folder}/README.md", f"more than {MAX_README_LINES} lines"


def check_documents(root):
    page = root / "docs" / "status-codes.md"
    if not page.is_file() or page.read_text() != status_codes.page(root):
        yield "docs/status-codes.md", "is out of date: run tests/lint/status_codes.py"
    base = (root / "include/slm/base.h").read_text()
    version = ".".join(
        re.search(rf"SLM_VERSION_{part} (\d+)", base).group(1)
        for part in ("MAJOR", "MINOR", "PATCH")
    )
    if f"version: '{version}'" not in (root / "meson.build").read_text():
        yield "meson.build", f"version differs from include/slm/base.h, which has {version}"
    changelog = root / "docs" / "changelog.md"
    if not changelog.is_file() or f"## {version.rsplit('.', 1)[0]}" not in changelog.read_text():
        yield "docs/changelog.md", f"no entry for version {version}"
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        if not page.is_file():
            yield page.name, "is missing"
            continue
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            if not (page.parent / target).exists():
                yield str(page.relative_to(root)), f"links to {target}, which does not exist"


def check_commits(root):
    command = ["git", "-C", str(root), "log", "--no-merges", "--format=%h %s"]
    try:
        log = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return
    for line in log.splitlines():
        short, _, subject = line.partition(" ")
        if not COMMIT_SUBJECT.match(subject):
            yield f"commit {short}", f"subject '{subject}' is not 'area: what'"


def check_library(path):
    """What the built static library asks of its host, exports, and keeps in writable memory."""
    command = ["nm", "-A", "--format=sysv", path]
    out = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    defined, undefined = set(), {}
    for line in out.splitlines():
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 7:
            continue
        file, _, name = fields[0].rpartition(":")
        kind, section = fields[2], fields[6]
        file = file.split(":")[-1]
        if kind in ("U", "w"):
            undefined.setdefault(name, []).append(file)
            continue
        if kind.isupper():
            defined.add(name)
            if not name.startswith(("slm_", "slmi_", "slmk_")):
                yield file, f"defines {name}, which has none of our prefixes"
        mutable = re.match(r"\.(bss|data|tbss|tdata|tm_clone)(?!\.rel\.ro)|\*COM\*", section)
        if mutable and kind != "?":
            yield file, f"{name} is a mutable global ({section})"
    for name, files in sorted(undefined.items()):
        allowed = name in defined or name in ALLOWED_SYMBOLS
        for file in files:
            if not allowed or file != ONLY_FROM.get(name, file):
                yield file, f"asks for {name}, which is not among the allowed symbols"


# ---- all together ------------------------------------------------------------------------------


def check_sources(root, paths):
    for path in paths:
        if not is_text(root, path):
            continue
        try:
            source = Source(root, path)
        except UnicodeDecodeError:
            yield path, "is not UTF-8"
            continue
        yield from check_opening(source)
        yield from check_text(source)
        yield from check_sizes(source)
        if source.is_library:
            yield from check_includes(source)
            yield from check_calls(source)
        if path.startswith("examples/") and source.suffix in (".c", ".h", ".cpp"):
            yield from check_examples_include(source)
        if path.startswith("include/"):
            yield from check_public_header(source)


def check_all(root, library):
    paths = list_files(root)
    yield from check_top_level(paths)
    yield from check_sources(root, paths)
    yield from check_readmes(root, paths)
    yield from check_documents(root)
    yield from check_commits(root)
    if library:
        yield from check_library(library)


def main():
    root = Path(sys.argv[1]).resolve()
    findings = list(check_all(root, sys.argv[2] if len(sys.argv) > 2 else None))
    for place, sentence in findings:
        print(f"{place}: {sentence}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
