from pathlib import Path
from typing import NamedTuple

import pytest

from dilu.errors import ConfigError
from dilu.spec import function_spec
from dilu.spec.applications import Application, FunctionEntry, Gateway, Route, ScalePolicy, application_name
from dilu.spec.documents import read_application, write_application
from dilu.spec.yaml_sections import MAX_ALIASES, MAX_BYTES

SHOP = """\
name: shop                # default: the folder's name
gateway: {host: 127.0.0.1, port: 8080, route: path}
functions:
  - target: app.py:Embed
    name: embed
    slo_ms: 60
    batch: 16
    sm_request: 300
    sm_limit: 600
    gpu_memory: 2Gi
    min_scale: 0
    max_scale: 4
    policy: dilu-paper
    env: {KEY: value}
"""


def read(tmp_path: Path, text: str | bytes) -> Application:
    path = tmp_path / "dilu.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_application(path)


def test_a_whole_application_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, SHOP) == Application(
        name="shop",
        gateway=Gateway(host="127.0.0.1", port=8080, route=Route.PATH),
        functions=(
            FunctionEntry(
                target="app.py:Embed",
                overrides={
                    "name": "embed",
                    "slo_ms": 60,
                    "batch": 16,
                    "sm_request": 300,
                    "sm_limit": 600,
                    "gpu_memory": "2Gi",
                    "min_scale": 0,
                    "max_scale": 4,
                },
                policy=ScalePolicy.DILU_PAPER,
                env={"KEY": "value"},
            ),
        ),
    )


def test_only_targets_are_needed_and_only_what_was_written_is_kept(tmp_path: Path) -> None:
    application = read(tmp_path, "functions:\n- target: shop.models:embed\n- target: app.py\n")
    assert application == Application(
        name=application_name(tmp_path),
        functions=(FunctionEntry(target="shop.models:embed"), FunctionEntry(target="app.py")),
    )
    assert application.folder == tmp_path
    assert application.gateway == Gateway(host="127.0.0.1", port=8080, route=Route.PATH)
    assert [dict(entry.overrides) for entry in application.functions] == [{}, {}]


@pytest.mark.parametrize("text", [SHOP, SHOP.replace("\n", "\r\n"), "\ufeff" + SHOP, "---\n" + SHOP + "...\n"])
def test_line_ends_and_marks_of_other_editors_do_not_matter(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == read(tmp_path, SHOP)


def test_null_leaves_out_a_key_and_unsets_an_override(tmp_path: Path) -> None:
    application = read(tmp_path, "name:\ngateway:\nfunctions:\n- {target: a.py, max_scale: null, policy: ~, env: }\n")
    assert application.gateway == Gateway()
    assert application.functions == (FunctionEntry(target="a.py", overrides={"max_scale": None}),)
    assert application.functions[0].apply_to(function_spec("a", max_scale=3)).max_scale is None


def test_texts_are_what_was_written_not_what_yaml_makes_of_them(tmp_path: Path) -> None:
    env = "{A: 1, B: no, C: 1.10, D: 010, E: '', F: 'null', G: 2026-01-01, H: 1:30, I: 'ä ☃'}"
    entry = read(tmp_path, f"name: no\nfunctions: [{{target: a.py, name: 010, env: {env}}}]").functions[0]
    assert entry.overrides["name"] == "010"
    assert entry.env == dict(
        zip("ABCDEFGHI", ["1", "no", "1.10", "010", "", "null", "2026-01-01", "1:30", "ä ☃"], strict=True)
    )


def test_an_alias_repeats_what_it_names(tmp_path: Path) -> None:
    text = "functions:\n- {target: a.py, env: &both {A: 1}}\n- {target: b.py, env: *both}\n"
    assert [dict(entry.env) for entry in read(tmp_path, text).functions] == [{"A": "1"}, {"A": "1"}]


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_within_the_range_is_taken(tmp_path: Path, port: int) -> None:
    assert read(tmp_path, f"gateway: {{port: {port}, route: host}}\nfunctions: [{{target: a.py}}]").gateway == Gateway(
        port=port, route=Route.HOST
    )


class Case(NamedTuple):
    name: str
    text: str | bytes
    line: int
    says: str  # what follows FILE:LINE:


def entry(*lines: str) -> str:
    return "\n".join(["functions:", "- target: a.py", *(f"  {line}" for line in lines), ""])


CASES = [
    Case("empty file", "", 1, "the file is empty; its keys are name, gateway, functions"),
    Case("comments only", "# nothing\n# here\n", 1, "the file is empty"),
    Case("a list", "- a\n", 1, "the file: must be a mapping of keys to values (seen a list)"),
    Case("a word", "\nshop\n", 2, "the file: must be a mapping of keys to values (seen 'shop')"),
    Case("not UTF-8", b"name: shop\nfunctions: \xff\n", 2, "must be UTF-8 (seen byte 0xff)"),
    Case("UTF-16", SHOP.encode("utf-16"), 1, "must be UTF-8 (seen byte 0xff)"),
    Case("a NUL", "name: a\nx: \0\n", 2, "not YAML: special characters are not allowed (seen character 0x00)"),
    Case(
        "open bracket", "name: a\nfunctions: [\n", 3, "not YAML: while parsing a flow node: expected the node content"
    ),
    Case("two colons", "name: a\ngateway: b: c\n", 2, "not YAML: mapping values are not allowed here"),
    Case("a tab", "gateway:\n\tport: 1\n", 2, "not YAML: while scanning for the next token: found character '\\t'"),
    Case("undefined alias", "name: a\nfunctions: *x\n", 2, "not YAML: found undefined alias 'x'"),
    Case("two documents", "name: a\n---\nname: b\n", 2, "not YAML: expected a single document in the stream"),
    Case("impossible escape", 'name: "\\UFFFFFFFF"\n', 1, "not YAML: an escape names no character"),
    Case("too deep", "name: a\nfunctions: " + "[" * 5000, 2, "not YAML: nested too deeply"),
    Case(
        "alias of itself", "functions: &a\n- *a\n", 1, "functions[0]: must be a mapping of keys to values (seen a list)"
    ),
    Case(
        "too many aliases", "a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]\n", 2, "not YAML: more than 100 aliases"
    ),
    Case("a tag", "name: !!python/object:os.system x\n", 1, "tags are not used here (seen 'tag:yaml.org,2002:python"),
    Case("a tag on a list", "functions: !x []\n", 1, "tags are not used here (seen '!x')"),
    Case("a tag on an entry", "functions:\n- !x {target: a.py}\n", 2, "tags are not used here (seen '!x')"),
    Case("a key that is a list", "name: a\n? [b]\n: c\n", 2, "a key must be a word (seen a list)"),
    Case("unknown key", "name: a\nfunction: []\n", 2, "function: unknown key; did you mean functions?"),
    Case("merge key", "functions:\n- <<: {target: a.py}\n", 2, "<<: unknown key; known keys are target, name"),
    Case("key of two lines", '"a\\nb": 1\n', 1, "'a\\nb': unknown key"),
    Case("key twice", "name: a\n\nname: b\n", 3, "name: is written twice (the first is at line 1)"),
    Case("no functions", "name: a\n", 1, "functions: is required"),
    Case("functions null", "name: a\nfunctions:\n", 2, "functions: is required"),
    Case("functions empty", "name: a\nfunctions: []\n", 2, "functions: must list at least one function"),
    Case(
        "functions a mapping", "name: a\nfunctions: {target: a.py}\n", 2, "functions: must be a list (seen a mapping)"
    ),
    Case("functions a word", "functions: a.py\n", 1, "functions: must be a list (seen 'a.py')"),
    Case("entry a word", "functions:\n- a.py\n", 2, "functions[0]: must be a mapping of keys to values (seen 'a.py')"),
    Case(
        "entry null",
        "functions:\n- target: a.py\n-\n",
        3,
        "functions[1]: must be a mapping of keys to values (seen nothing)",
    ),
    Case("bad name", f"name: My Shop\n{entry()}", 1, "name: must be 1 to 63 of a-z, 0-9 and -"),
    Case("name a list", f"name: [a]\n{entry()}", 1, "name: must be a single value (seen a list)"),
    Case("gateway a word", f"gateway: on\n{entry()}", 1, "gateway: must be a mapping of keys to values (seen 'on')"),
    Case("gateway unknown", f"gateway:\n  prt: 1\n{entry()}", 2, "gateway.prt: unknown key; did you mean port?"),
    Case(
        "port too high",
        f"gateway:\n  port: 65536\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen 65536)",
    ),
    Case(
        "port negative",
        f"gateway:\n  port: -1\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen -1)",
    ),
    Case(
        "port a word",
        f"gateway:\n  port: http\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen 'http')",
    ),
    Case(
        "port quoted",
        f"gateway:\n  port: '80'\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen '80')",
    ),
    Case(
        "port in base 60",
        f"gateway:\n  port: 1:30\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen '1:30')",
    ),
    Case(
        "port a bool",
        f"gateway:\n  port: yes\n{entry()}",
        2,
        "gateway.port: must be a whole number from 0 to 65535 (seen True)",
    ),
    Case(
        "host empty",
        f"gateway:\n  host: ''\n{entry()}",
        2,
        "gateway.host: must be a host name or an IP address (seen '')",
    ),
    Case(
        "host with a path",
        f"gateway:\n  host: http://x\n{entry()}",
        2,
        "gateway.host: must be a host name or an IP address",
    ),
    Case(
        "route", f"gateway:\n  route: header\n{entry()}", 2, "gateway.route: must be one of path, host (seen 'header')"
    ),
    Case("no target", "functions:\n- name: a\n", 2, "target: is required"),
    Case(
        "target empty",
        "functions:\n- target: ''\n",
        2,
        "target: must be FILE.py, FILE.py:NAME, MODULE or MODULE:NAME (seen '')",
    ),
    Case("target no name", "functions:\n- target: 'a.py:'\n", 2, "target: must be FILE.py"),
    Case("target bad name", "functions:\n- target: a.py:3d\n", 2, "target: must be FILE.py"),
    Case("target bad module", "functions:\n- target: a-b:c\n", 2, "target: must be FILE.py"),
    Case("unknown override", entry("sm_requst: 3"), 3, "sm_requst: unknown key; did you mean sm_request?"),
    Case("override twice", entry("batch: 3", "batch: 3"), 4, "batch: is written twice (the first is at line 3)"),
    Case("function's name", entry("name: A"), 3, "name: must be 1 to 63 of a-z, 0-9 and -, starting"),
    Case("kind", entry("kind: serving"), 3, "kind: must be one of inference, llm-inference, training (seen 'serving')"),
    Case("unit of time", entry("slo_ms: 60ms"), 3, "slo_ms: must be a number above 0 (seen '60ms')"),
    Case("no number", entry("slo_ms: .nan"), 3, "slo_ms: must be a number above 0 (seen '.nan')"),
    Case("zero", entry("slo_ms: 0"), 3, "slo_ms: must be a number above 0 (seen 0)"),
    Case("a bool", entry("batch: true"), 3, "batch: must be a whole number from 1 to 2147483647 (seen True)"),
    Case("a list", entry("batch: [1]"), 3, "batch: must be a single value (seen a list)"),
    Case("a mapping", entry("batch: {a: 1}"), 3, "batch: must be a single value (seen a mapping)"),
    Case(
        "a share as a ratio",
        entry("sm_request: 0.3"),
        3,
        "sm_request: must be a whole number of milli-GPU from 1 to 1000 (seen 0.3)",
    ),
    Case(
        "more than a GPU",
        entry("batch: 1", "sm_limit: 1001"),
        4,
        "sm_limit: must be a whole number of milli-GPU from 1 to 1000 (seen 1001)",
    ),
    Case(
        "unit of memory",
        entry("gpu_memory: 2GB"),
        3,
        "gpu_memory: must be a quantity such as 512Mi or 2Gi (seen '2GB')",
    ),
    Case(
        "not whole MiB",
        entry("gpu_memory: 1.5G"),
        3,
        "gpu_memory: must be whole MiB; the next larger is 1431Mi (seen '1.5G')",
    ),
    Case(
        "bytes",
        entry("gpu_memory: 2147483648"),
        3,
        "gpu_memory: must be a whole number of MiB from 1 to 4194304 (seen 2147483648)",
    ),
    Case(
        "limit below request",
        entry("sm_request: 300", "sm_limit: 299"),
        4,
        "sm_limit: must be at least the request, 300 (seen 299)",
    ),
    Case(
        "request above limit",
        entry("sm_limit: 299", "sm_request: 300"),
        3,
        "sm_limit: must be at least the request, 300 (seen 299)",
    ),
    Case("rps", entry("rps_request: 3", "rps_limit: 2.5"), 4, "rps_limit: must be at least the request, 3 (seen 2.5)"),
    Case("scale", entry("min_scale: 3", "max_scale: 2"), 4, "max_scale: must be at least the minimum, 3 (seen 2)"),
    Case("unbounded as 0", entry("max_scale: 0"), 3, "max_scale: must be a whole number from 1 to 2147483647 (seen 0)"),
    Case(
        "policy",
        entry("policy: hpb"),
        3,
        "policy: must be one of dilu, dilu-paper, dilu-target, eager, hpa, infless, kpa, ray-serve (seen 'hpb')",
    ),
    Case("env a list", entry("env: [A]"), 3, "env: must be a mapping of keys to values (seen a list)"),
    Case("env without value", entry("env:", "  A: 1", "  B:"), 5, "env.B: has no value; write an empty text as ''"),
    Case("env nested", entry("env:", "  A: {B: 1}"), 4, "env.A: must be a single value (seen a mapping)"),
    Case("env twice", entry("env:", "  A: 1", "  A: 2"), 5, "env.A: is written twice (the first is at line 4)"),
    Case("env bad name", entry("env:", "  A-B: 1"), 4, "env.A-B: must be a variable's name"),
    Case("env reserved", entry("env:", "  A: 1", "  PORT: 80"), 5, "env.PORT: is set by the platform"),
    Case("env surrogate", entry("env:", '  A: "\\ud800"'), 4, "env.A: must be Unicode text without NUL characters"),
    Case("env NUL", entry("env:", '  A: "\\0"'), 4, "env.A: must be Unicode text without NUL characters"),
    Case(
        "one name twice",
        "functions:\n- target: a.py\n  name: f\n- target: b.py\n  name: f\n",
        5,
        "name: must differ between functions (the first is at line 3) (seen 'f')",
    ),
    Case(
        "one target twice",
        "functions:\n- target: a.py\n- target: a.py\n",
        3,
        "target: is listed twice; add a name to each (the first is at line 2) (seen 'a.py')",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_error_says_file_line_key_and_rule(tmp_path: Path, case: Case) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, case.text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'dilu.yaml'}:{case.line}: {case.says}")
    assert "\n" not in message
    assert len(message) < 450 + len(str(tmp_path))


def test_a_file_that_is_not_there_or_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/none\.yaml: no such file$"):
        read_application(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        read_application(tmp_path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dilu\.yaml: must be at most 256 KiB$"):
        read(tmp_path, "#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="the file is empty"):
        read(tmp_path, "#" * MAX_BYTES)


def test_an_override_that_contradicts_the_decorator_names_file_and_line(tmp_path: Path) -> None:
    application = read(tmp_path, entry("batch: 3", "sm_request: 700"))
    with pytest.raises(ConfigError) as caught:
        application.specs([function_spec("f", sm_request=300, sm_limit=600)])
    assert str(caught.value) == f"{tmp_path}/dilu.yaml:4: sm_limit: must be at least the request, 700 (seen 600)"


def test_names_that_clash_only_with_the_decorators_are_found(tmp_path: Path) -> None:
    application = read(tmp_path, "functions:\n- target: a.py\n- target: b.py\n  name: f\n")
    specs = application.specs([function_spec("e"), function_spec("g", batch=2)])
    assert specs == (function_spec("e"), function_spec("f", batch=2))
    with pytest.raises(ConfigError) as caught:
        application.specs([function_spec("f"), function_spec("g")])
    want = "name: must differ between functions (the first is at line 2) (seen 'f')"
    assert str(caught.value) == f"{tmp_path}/dilu.yaml:4: {want}"


def test_one_target_may_be_served_under_two_names(tmp_path: Path) -> None:
    application = read(tmp_path, "functions:\n- {target: a.py, name: x}\n- {target: a.py, name: y}\n")
    assert [spec.name for spec in application.specs([function_spec("f"), function_spec("f")])] == ["x", "y"]


@pytest.mark.parametrize(
    ("target", "want"),
    [
        ("app.py", "/srv/shop/app.py"),
        ("app.py:Embed", "/srv/shop/app.py:Embed"),
        ("models/app.py:Embed", "/srv/shop/models/app.py:Embed"),
        ("../app.py:Embed", "/srv/shop/../app.py:Embed"),
        ("/opt/app.py:Embed", "/opt/app.py:Embed"),
        ("shop.models:Embed", "shop.models:Embed"),
        ("shop", "shop"),
    ],
)
def test_a_file_target_is_relative_to_the_applications_folder(target: str, want: str) -> None:
    assert FunctionEntry(target=target).target_in(Path("/srv/shop")) == want


@pytest.mark.parametrize(
    ("folder", "want"),
    [
        ("/home/me/shop", "shop"),
        ("/My Shop", "my-shop"),
        ("/_a__B_", "a-b"),
        ("/", "application"),
        ("/" + "a" * 80, "a" * 63),
    ],
)
def test_the_folders_name_is_made_a_label(folder: str, want: str) -> None:
    assert application_name(Path(folder)) == want


def test_an_application_made_in_memory_is_checked_without_a_file() -> None:
    with pytest.raises(ConfigError, match=r"^a.py: sm_limit = 2, must be at least the request, 3$"):
        FunctionEntry(target="a.py", overrides={"sm_request": 3, "sm_limit": 2})
    with pytest.raises(ConfigError, match=r"^target = 'a.py', is listed twice; add a name to each$"):
        Application(name="a", functions=(FunctionEntry(target="a.py"), FunctionEntry(target="a.py")))


def test_writing_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    application = Application(name="a", functions=(FunctionEntry(target="a.py"),))
    with pytest.raises(ConfigError, match=r"dilu\.yaml: cannot be written: No such file or directory$"):
        write_application(application, tmp_path / "none" / "dilu.yaml")
