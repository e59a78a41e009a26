// SPDX-License-Identifier: Apache-2.0
//
// Reads the command line with CLI11 by the tables of devmemctl_words.h. Of devmemctl's files only
// this one pays for CLI11.

#include "tools/devmemctl_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/devmemctl_output.h"
#include "tools/devmemctl_words.h"
#include "tools/exit_codes.h"

namespace devmem {
namespace {

constexpr char kDescription[] =
    "devmemctl: looks at device memory, at the NICs that write it, and sets them up.\n";

constexpr char kFooter[] =
    R"(Objects and verbs may be abbreviated as far as they stay clear: `devmemctl pr p` is
`devmemctl provider probe`. -j and -p may stand anywhere.

Exit status:
  0  done
  1  the command line is wrong
  2  it was understood, and refused or failed
  3  a part of it was done
  4  this machine lacks what it needs
With -j, an error is {"error": {"kind", "code", "message"}} on stdout.
)";

// One for each level: CLI11 lets levels share one, and what they call the next level differs.
std::shared_ptr<CLI::Formatter> MakeFormatter(const std::string& next_level) {
  auto formatter = std::make_shared<CLI::Formatter>();
  formatter->column_width(28);
  formatter->label("SUBCOMMAND", next_level);
  return formatter;
}

// CLI11 knows refusals of its own kind only.
void Check(const absl::Status& status) {
  if (!status.ok()) throw CLI::ParseError(std::string(status.message()), kCtlUsage);
}

void AddOption(CLI::App* app, const OptionWords& words, DevmemctlOptions* o) {
  const std::string spelling(words.spelling), help(words.help);
  const auto set = words.set;
  if (spelling[0] == '-' && words.value.empty()) {
    app->add_flag_callback(
        spelling, [set, o] { Check(set("", o)); }, help);
    return;
  }
  // A word by its place that may be several, "RULE...", is taken word by word.
  if (absl::EndsWith(spelling, "...")) {
    const auto take_each = [set, o](const std::vector<std::string>& values) {
      for (const std::string& value : values) Check(set(value, o));
    };
    app->add_option_function<std::vector<std::string>>(spelling.substr(0, spelling.size() - 3),
                                                       take_each, help)
        ->required(words.required)
        ->type_name("");
    return;
  }
  const auto take = [set, o](const std::string& value) { Check(set(value, o)); };
  app->add_option_function<std::string>(spelling, take, help)
      ->required(words.required)
      ->type_name(std::string(words.value));
}

void AddVerb(CLI::App* app, const VerbWords& verb, DevmemctlOptions* o) {
  app->callback([o, command = verb.command] { o->command = command; });
  for (const OptionWords& option : verb.options) AddOption(app, option, o);
}

void AddObject(CLI::App* root, const ObjectWords& words, DevmemctlOptions* o) {
  CLI::App* const object = root->add_subcommand(std::string(words.name), std::string(words.help));
  object->group("Objects")->footer(std::string(words.footer));
  object->formatter(MakeFormatter("VERB"));
  for (const VerbWords& verb : words.verbs) {
    if (verb.verb.empty()) return AddVerb(object, verb, o);
    CLI::App* const app = object->add_subcommand(std::string(verb.verb), std::string(verb.help));
    app->group("Verbs");
    AddVerb(app, verb, o);
  }
  object->require_subcommand(1);
}

// The help of the innermost command that was named.
std::string HelpFor(const CLI::App& root) {
  const CLI::App* app = &root;
  std::string path = "devmemctl";
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += " " + app->get_name();
  }
  std::string help = app->help(app == &root ? "" : path.substr(0, path.rfind(' ')));
  help.erase(help.find_last_not_of('\n') + 1);
  return help + "\n";
}

void Parse(std::vector<std::string> arguments, DevmemctlOptions* options,
           DevmemctlCommandLine* result) {
  CLI::App app(kDescription, "devmemctl");
  app.formatter(MakeFormatter("OBJECT VERB"));
  app.footer(kFooter)->fallthrough()->require_subcommand(1);
  app.add_flag("-j,--json", options->json, "Print JSON");
  app.add_flag("-p,--pretty", options->pretty, "Print JSON over several lines");
  app.set_version_flag("-V,--version", std::string("devmemctl ") + DEVMEM_VERSION,
                       "Print the version");
  for (const ObjectWords* const object : AllObjects()) AddObject(&app, *object, options);
  // Each level passes on what belongs to the whole.
  for (CLI::App* const object : app.get_subcommands({})) {
    object->fallthrough();
    for (CLI::App* const verb : object->get_subcommands({})) verb->fallthrough();
  }
  try {
    // CLI11 takes them from the back.
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::CallForVersion& version) {
    result->output = absl::StrCat(version.what(), "\n");
  } catch (const CLI::Success&) {
    result->output = HelpFor(app);
  } catch (const CLI::ParseError& error) {
    result->error = error.what();
  }
}

// How a refusal is told must be known before the rest is.
bool HasFlag(const std::vector<std::string>& arguments, absl::string_view letter,
             absl::string_view name) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [=](const std::string& word) { return word == letter || word == name; });
}

}  // namespace

DevmemctlCommandLine ParseDevmemctlCommandLine(int argc, const char* const* argv) {
  DevmemctlCommandLine result;
  DevmemctlOptions options;
  std::vector<std::string> arguments = TranslateWords(argc, argv);
  options.json = HasFlag(arguments, "-j", "--json");
  options.pretty = HasFlag(arguments, "-p", "--pretty");
  const absl::Status expanded = ExpandWords(&arguments);
  if (expanded.ok()) {
    Parse(std::move(arguments), &options, &result);
  } else {
    result.error = std::string(expanded.message());
  }
  if (!options.xml_path.empty() && !options.synthetic.empty()) {
    result.error = "--xml and --synthetic name two machines: look at one of them";
  }
  if (!result.error.empty()) {
    const absl::string_view hint = options.json ? "" : "\nTry devmemctl --help";
    CommandOutcome refused =
        Refuse(options, kCtlUsage, absl::InvalidArgumentError(absl::StrCat(result.error, hint)));
    result.output = std::move(refused.output);
    result.error = std::move(refused.error);
    result.exit_code = kCtlUsage;
  } else if (result.output.empty()) {
    result.options = std::move(options);
  }
  return result;
}

}  // namespace devmem
