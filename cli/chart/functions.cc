// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/functions.h"

#include <algorithm>

#include "cli/chart/function_groups.h"
#include "lib/base/text.h"

namespace tulle::chart {
namespace {

using Kind = Value::Kind;

// --- Helm's ---

Value include(Call& c) { return c.host.include(text(c, 0), c.args[1]); }
Value tpl(Call& c) { return c.host.tpl(text(c, 0), c.args[1]); }
// A cluster is not asked while rendering, as in `helm template`.
Value lookup(Call&) { return Value::map(); }

constexpr Function kFunctions[] = {
    {"include", "sa", include},
    {"lookup", "ssss", lookup},
    {"tpl", "sa", tpl},
};
static_assert(std::is_sorted(std::begin(kFunctions), std::end(kFunctions), by_name));

// What Helm 3 has beyond these.
constexpr std::string_view kLeftOut[] = {
    "abbrev",
    "abbrevboth",
    "add1f",
    "addf",
    "adler32sum",
    "ago",
    "b32dec",
    "b32enc",
    "base",
    "bcrypt",
    "biggest",
    "buildCustomCert",
    "call",
    "camelcase",
    "chunk",
    "clean",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "dir",
    "divf",
    "duration",
    "durationRound",
    "encryptAES",
    "ext",
    "fromToml",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "hello",
    "html",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "initials",
    "isAbs",
    "js",
    "kebabcase",
    "maxf",
    "minf",
    "mulf",
    "mustChunk",
    "mustCompact",
    "mustDateModify",
    "mustFirst",
    "mustFromJson",
    "mustInitial",
    "mustLast",
    "mustPrepend",
    "mustPush",
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "mustRest",
    "mustReverse",
    "mustSlice",
    "mustToDate",
    "mustToPrettyJson",
    "mustToRawJson",
    "mustUniq",
    "mustWithout",
    "must_date_modify",
    "now",
    "osBase",
    "osClean",
    "osDir",
    "osExt",
    "osIsAbs",
    "plural",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "round",
    "semver",
    "seq",
    "sha1sum",
    "sha512sum",
    "shuffle",
    "snakecase",
    "splitn",
    "subf",
    "swapcase",
    "toDate",
    "toDecimal",
    "toToml",
    "toYamlPretty",
    "trimall",
    "unixEpoch",
    "untitle",
    "urlJoin",
    "urlParse",
    "urlquery",
    "uuidv4",
    "wrap",
    "wrapWith",
};

// "" or what is wrong with an argument.
std::string check(char type, Value& value) {
  const auto wrong = [&](std::string_view expected) {
    if (value.is_none()) return concat("invalid value; expected ", expected);
    return concat("wrong type for value; expected ", expected, "; got ",
                  value.is_null() ? "interface {}" : value.type_name());
  };
  switch (type) {
    case 's': return value.is_string() ? "" : wrong("string");
    case 'i': return value.kind() == Kind::Int ? "" : wrong("int");
    case 'b': return value.kind() == Kind::Bool ? "" : wrong("bool");
    case 'm': return value.is_map() || value.is_none() ? "" : wrong("map[string]interface {}");
    default:
      if (value.is_none()) value = Value::nil();
      return "";
  }
}

}  // namespace

const Function* find_function(std::string_view name) noexcept {
  for (const std::span<const Function> group :
       {value_functions(), text_functions(), list_functions(),
        std::span<const Function>(kFunctions)}) {
    const auto found =
        std::lower_bound(group.begin(), group.end(), name,
                         [](const Function& f, std::string_view n) { return f.name < n; });
    if (found != group.end() && found->name == name) return &*found;
  }
  return nullptr;
}

bool is_left_out(std::string_view name) noexcept {
  return std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
}

Value call(const Function& function, Call& call) {
  std::string_view types = function.takes;
  const bool open = types.ends_with('*');
  if (open) types.remove_suffix(1);
  const std::size_t least = open ? types.size() - 1 : types.size();
  if (call.args.size() < least || (!open && call.args.size() > least)) {
    return call.fail(concat("wrong number of args for ", function.name, ": want ",
                            open ? "at least " : "", std::to_string(least), " got ",
                            std::to_string(call.args.size())));
  }
  for (std::size_t i = 0; i < call.args.size(); ++i) {
    std::string wrong = check(types[std::min(i, types.size() - 1)], call.args[i]);
    if (!wrong.empty()) return call.fail(std::move(wrong));
  }
  return function.call(call);
}

}  // namespace tulle::chart
