# SPDX-License-Identifier: Apache-2.0
"""Proves that each tidy rule refuses a file that breaks it, names that file and line, and accepts
the nearest file that does not. Each test writes a small project of its own; ctest runs them all."""

import os
import pathlib
import tempfile
import unittest

import function_rules
import header_rules
import include_rules
import source_tree
import text_rules

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


class TidyCase(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def tree(self):
        return source_tree.SourceTree(self.root)

    def problems(self, check, path, text):
        """What `check` says about a project whose only file is `path`."""
        self.write(path, text)
        return check(self.tree())

    def assert_refused(self, check, path, text, expected):
        problems = self.problems(check, path, text)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(expected, problems[0])
        (self.root / path).unlink()

    def assert_accepted(self, check, path, text):
        self.assertEqual(self.problems(check, path, text), [])
        (self.root / path).unlink()


class IncludeDirectionTest(TidyCase):
    def refused(self, path, include):
        self.assert_refused(include_rules.check_include_direction, path,
                            f'{LICENCE}#include "{include}"\n', f"{path}:2:")

    def accepted(self, path, include):
        self.assert_accepted(include_rules.check_include_direction, path,
                             f'{LICENCE}#include "{include}"\n')

    def test_a_lower_layer_may_not_include_a_higher_one(self):
        self.refused("netmem/wire/frame.h", "netmem/netmem_ref.h")
        self.refused("provider/region.cc", "netmem/binding.h")
        self.refused("netmem/binding.cc", "netmem/nic/netdev.h")
        self.refused("netmem/stack/worker.h", "uapi/devmem.h")
        self.refused("uapi/devmem.h", "tools/options.h")
        self.refused("uapi/abi/dmabuf.h", "uapi/devmem.h")

    def test_a_higher_layer_may_include_every_lower_one(self):
        self.accepted("netmem/stack/worker.cc", "netmem/wire/frame.h")
        self.accepted("netmem/stack/worker.cc", "netmem/nic/netdev.h")
        self.accepted("uapi/session.cc", "netmem/stack/stack.h")
        self.accepted("uapi/session.cc", "uapi/abi/dmabuf.h")
        self.accepted("tools/ncdevmem.cc", "uapi/devmem.h")

    def test_tcp_knows_no_nic_in_either_direction(self):
        self.refused("netmem/tcp/receiver.cc", "netmem/nic/netdev.h")
        self.refused("netmem/nic/netdev.cc", "netmem/tcp/receiver.h")
        self.accepted("netmem/tcp/receiver.cc", "netmem/piece.h")

    def test_memory_knows_only_the_checksum_of_the_wire(self):
        self.accepted("provider/dma_mapping.cc", "netmem/wire/checksum.h")
        self.refused("provider/dma_mapping.cc", "netmem/wire/tcp_header.h")

    def test_production_code_may_not_include_test_helpers(self):
        self.refused("netmem/tcp/receiver.cc", "selftests/testing/packet.h")
        self.accepted("netmem/tcp/receiver_test.cc", "selftests/testing/packet.h")

    def test_a_test_may_include_its_own_level_and_below_only(self):
        self.accepted("netmem/tcp/receiver_test.cc", "netmem/nic/wire_nic.h")
        self.refused("netmem/tcp/receiver_test.cc", "netmem/stack/stack.h")
        self.accepted("selftests/real_peers/nc_test.cc", "uapi/devmem.h")

    def test_an_example_uses_the_public_api_alone(self):
        self.accepted("examples/receive.cc", "uapi/devmem.h")
        self.refused("examples/receive.cc", "netmem/stack/stack.h")

    def test_a_path_starts_at_the_root(self):
        self.write("netmem/tcp/receiver.h", LICENCE)
        self.refused("netmem/tcp/receiver.cc", "receiver.h")

    def test_a_commented_include_does_not_count(self):
        self.assert_accepted(include_rules.check_include_direction, "provider/region.h",
                             '// #include "uapi/devmem.h"\n')


class DmaMappingTest(TidyCase):
    INCLUDE = f'{LICENCE}#include "provider/dma_mapping.h"\n'

    def test_only_nic_provider_and_tests_open_the_door(self):
        check = include_rules.check_dma_mapping
        self.assert_refused(check, "netmem/tcp/receiver.cc", self.INCLUDE, "receiver.cc:2:")
        self.assert_refused(check, "uapi/session.cc", self.INCLUDE, "session.cc:2:")
        self.assert_refused(check, "netmem/binding.h", self.INCLUDE, "binding.h:2:")
        self.assert_accepted(check, "netmem/nic/tap_nic.cc", self.INCLUDE)
        self.assert_accepted(check, "provider/attachment.cc", self.INCLUDE)
        self.assert_accepted(check, "netmem/tcp/receiver_test.cc", self.INCLUDE)


class ForbiddenIncludesTest(TidyCase):
    def test_abseil_containers_and_mutexes_are_refused(self):
        check = include_rules.check_forbidden_includes
        self.assert_refused(check, "netmem/a.h", '#include "absl/container/flat_hash_map.h"\n',
                            "netmem/a.h:1:")
        self.assert_refused(check, "netmem/a.h", "#include <absl/synchronization/mutex.h>\n",
                            "netmem/a.h:1:")
        self.assert_accepted(check, "netmem/a.h", '#include "absl/status/statusor.h"\n')


class HeaderTest(TidyCase):
    COMPILER = os.environ.get("CXX", "c++")

    def check(self, build=None):
        return header_rules.check_self_contained(self.tree(), build, self.COMPILER)

    def test_a_header_that_forgets_an_include_is_refused(self):
        self.write("netmem/good.h", "#pragma once\n#include <cstdint>\nextern uint8_t good;\n")
        self.write("netmem/bad.h", "#pragma once\nextern std::string bad;\n")
        problems = self.check()
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("netmem/bad.h", problems[0])

    def test_a_header_is_compiled_again_when_one_that_it_includes_changes(self):
        build = self.root / "build"
        build.mkdir()
        self.write("netmem/base.h", "#pragma once\nusing Word = int;\n")
        self.write("netmem/user.h", '#pragma once\n#include "netmem/base.h"\nextern Word word;\n')
        self.assertEqual(self.check(build), [])
        self.assertEqual(self.check(build), [])
        self.write("netmem/base.h", "#pragma once\nusing Other = int;\n")
        problems = self.check(build)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("netmem/user.h", problems[0])
        self.assertEqual(len(self.check(build)), 1, "a failure must not be remembered as passed")

    def test_only_a_compiled_source_that_includes_it_first_vouches_for_a_header(self):
        build = self.root / "build"
        build.mkdir()
        self.write("netmem/a.h", "#pragma once\nextern std::string a;\n")
        self.write("netmem/a.cc", '#include "netmem/a.h"\n')
        (build / "compile_commands.json").write_text("[]")
        self.assertEqual(len(self.check(build)), 1)
        (build / "compile_commands.json").write_text(
            f'[{{"file": "{self.root}/netmem/a.cc"}}]')
        self.assertEqual(self.check(build), [])
        self.write("netmem/a.cc", '#include <string>\n#include "netmem/a.h"\n')
        self.assertEqual(len(self.check(build)), 1)

    def test_a_header_without_a_guard_is_refused(self):
        check = header_rules.check_pragma_once
        self.assert_refused(check, "netmem/a.h", "// #pragma once\n", "netmem/a.h")
        self.assert_accepted(check, "netmem/a.h", LICENCE + "#pragma once\n")


class TextTest(TidyCase):
    def test_a_file_without_a_licence_line_is_refused(self):
        check = text_rules.check_spdx
        self.assert_refused(check, "netmem/a.cc", "// A file.\n", "netmem/a.cc")
        self.assert_refused(check, "tools/run", "#!/bin/sh\nexit 0\n", "tools/run")
        self.assert_refused(check, "netmem/CMakeLists.txt", "project(x)\n", "CMakeLists.txt")
        self.assert_accepted(check, "netmem/a.cc", LICENCE)
        self.assert_accepted(check, "tools/run", "#!/bin/sh\n# " + text_rules.SPDX + "\n")

    def test_a_file_past_its_limit_is_refused(self):
        check = text_rules.check_file_length
        self.assert_refused(check, "netmem/a.cc", "//\n" * 401, "401 lines")
        self.assert_accepted(check, "netmem/a.cc", "//\n" * 400)
        self.assert_accepted(check, "netmem/a_test.cc", "//\n" * 500)
        self.assert_refused(check, "netmem/a_test.cc", "//\n" * 501, "501 lines")

    def test_a_line_past_100_columns_is_refused(self):
        check = text_rules.check_line_length
        self.assert_refused(check, "netmem/a.cc", "\n//" + "x" * 99 + "\n", "netmem/a.cc:2:")
        self.assert_accepted(check, "netmem/a.cc", "//" + "x" * 98 + "\n")
        self.assert_accepted(check, "netmem/a.cc", "// https://" + "x" * 98 + "\n")

    def test_marks_of_unfinished_work_are_refused(self):
        check = text_rules.check_marks
        for mark in ("TO" + "DO", "FIX" + "ME", "X" * 3, "not " + "implemented", "for " + "now"):
            self.assert_refused(check, "netmem/a.cc", f"\n// {mark}: later\n", "netmem/a.cc:2:")
            self.assert_refused(check, "README.md", f"{mark}\n", "README.md:1:")
        self.assert_accepted(check, "tools/run", "#!/bin/sh\nmktemp -d /tmp/devmem." + "X" * 6)
        self.assert_accepted(check, "netmem/a.cc", "// What the peer knows for nowhere else.\n")

    def test_a_sleep_in_a_test_is_refused(self):
        check = text_rules.check_sleeps
        for sleep in ("std::this_thread::sleep_for(1ms);", "usleep(1000);", "sleep(1);"):
            self.assert_refused(check, "netmem/a_test.cc", sleep + "\n", "netmem/a_test.cc:1:")
        self.assert_refused(check, "selftests/x/run", "#!/bin/sh\nsleep 1\n", "selftests/x/run:2:")
        self.assert_refused(check, "selftests/x/run.py", "time.sleep(1)\n", "run.py:1:")
        self.assert_accepted(check, "netmem/a.cc", "usleep(1000);\n")
        self.assert_accepted(check, "netmem/a_test.cc", "// A worker may sleep until data comes.\n")

    def test_a_limit_that_no_document_mentions_is_refused(self):
        self.write("netmem/limits.h", "inline constexpr uint32_t kSlabBytes = 65536;\n"
                                      "inline constexpr size_t kPoolCountMax{4};\n")
        self.write("Documentation/memory.md", "A slab is `kSlabBytes` long. `kPoolCountMaxima`\n")
        problems = text_rules.check_documented_limits(self.tree())
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("netmem/limits.h:2: kPoolCountMax", problems[0])
        self.write("Documentation/memory.md", "`kSlabBytes` and `kPoolCountMax`\n")
        self.assertEqual(text_rules.check_documented_limits(self.tree()), [])


class FunctionLengthTest(TidyCase):
    BODY = "  Step();\n"

    def counted(self, text):
        self.write("netmem/a.cc", text)
        return list(function_rules.functions(self.tree().find("netmem/a.cc").code))

    def test_a_function_past_70_lines_is_refused(self):
        check = function_rules.check_function_length
        long_function = "\nvoid Long() {\n" + self.BODY * 69 + "}\n"
        self.assert_refused(check, "netmem/a.cc", long_function, "netmem/a.cc:2: Long has 71")
        self.assert_accepted(check, "netmem/a.cc", "\nvoid Long() {\n" + self.BODY * 68 + "}\n")

    def test_methods_templates_and_tests_are_counted_and_classes_are_not(self):
        text = ("namespace devmem {\n"
                "class Pool : public Base<int> {\n"
                " public:\n"
                "  explicit Pool(int a) : a_{a}, b_(a) {\n"
                "    Fill();\n"
                "  }\n"
                "  Pool() : a_{1} {\n"
                "    if (a_) { Fill(); }\n"
                "  }\n"
                "  template <typename T>\n"
                "  void Put(T value) const noexcept {\n"
                "    if (value) { Fill(); }\n"
                "  }\n"
                "  int a_{0};\n"
                "  int sizes_[2] = {sizeof(int), sizeof(long)};\n"
                "};\n"
                "TEST(PoolTest, IsEmptyAtFirst) {\n"
                "}\n"
                "}  // namespace devmem\n")
        self.assertEqual([(start, count) for _, start, count in self.counted(text)],
                         [(4, 3), (7, 3), (10, 4), (17, 2)])

    def test_braces_in_comments_and_literals_do_not_count(self):
        text = ('void A() {\n'
                '  Call("}", \'}\', 1\'000);  // }\n'
                '  /* } */ Call(R"x(}\n'
                ')x");\n'
                '}\n'
                'void B() {\n'
                '}\n')
        self.assertEqual([count for _, _, count in self.counted(text)], [5, 2])

    def test_a_flat_switch_may_be_long_and_a_deep_one_may_not(self):
        check = function_rules.check_function_length
        flat = "int F(int s) {\n  switch (s) {\n" + "    case 1: return 2;\n" * 90 + "  }\n}\n"
        deep = ("int F(int s) {\n  switch (s) {\n" +
                "    case 1: {\n      if (s) {\n        Step();\n      }\n    }\n" * 18 +
                "  }\n}\n")
        self.assert_accepted(check, "netmem/a.cc", flat)
        self.assert_refused(check, "netmem/a.cc", deep, "netmem/a.cc:1: F has")


if __name__ == "__main__":
    unittest.main()
