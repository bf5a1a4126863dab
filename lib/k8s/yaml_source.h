// SPDX-License-Identifier: Apache-2.0
// YAML as tokens (token.h), read with libyaml. Plain scalars get the types that Kubernetes gives
// them (YAML 1.1: yes, no, on and off are booleans). Anchors and aliases work within a document and
// are bounded. Of merge keys ("<<") nobody sees anything: the members that they bring come at the
// end of their map, without those that the map has itself or an earlier map brought.
#pragma once

#include <yaml.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/k8s/token.h"

namespace tulle::k8s {

// The type that Kubernetes' YAML reader gives to an unquoted scalar.
Token::Type plain_type(std::string_view text) noexcept;

// What YAML 1.1 calls a number, as JSON writes it: 0644 is octal there, 1_000 a thousand. Whole
// numbers come out of a YamlSource like this, so that everybody who reads them agrees with kubectl.
std::string json_number(std::string_view text);

class YamlSource final : public TokenSource {
 public:
  // `text` must outlive the source.
  explicit YamlSource(std::string_view text);
  ~YamlSource() override;
  YamlSource(const YamlSource&) = delete;
  YamlSource& operator=(const YamlSource&) = delete;
  // What is wrong with the text comes as a token of kind Bad (token.h), with its line.
  bool next_document() override;
  Token next() override;

 private:
  struct Kept {
    Token::Kind kind;
    Token::Type type;
    bool plain;  // a scalar without quotes
    std::string text;
  };
  using Node = std::vector<Kept>;
  struct Recording {
    std::string anchor;
    int depth = 0;
    std::shared_ptr<Node> node = std::make_shared<Node>();
  };

  // An object or list that is open, in a document that has merge keys.
  struct Open {
    bool map = false;
    bool at_key = false;
    std::set<std::string, std::less<>> keys;
    Node merged;  // members, as keys and values, of all that its merge keys brought
    std::uint32_t line = 0;
  };

  Token raw();     // as it stands there, aliases replaced
  Token merged();  // without merge keys
  Token read_merge(std::uint32_t line);
  bool read_node(Node& into, Token& last);
  void close();  // what the open map has merged into given_
  bool pull();   // the next libyaml event into event_; false and failed_ if there is none
  Token from_event();
  Token follow_alias(std::string_view anchor);
  Token replay_next();
  Token track(Token token);
  Token bad(std::string reason, std::uint32_t line);

  yaml_parser_t parser_;
  yaml_event_t event_;
  bool has_event_ = false;
  bool failed_ = false;
  bool in_document_ = false;
  bool stream_ended_ = false;
  std::string reason_;
  std::string number_;  // of the token at hand
  std::uint32_t bad_line_ = 0;
  int depth_ = 0;
  std::map<std::string, std::shared_ptr<const Node>, std::less<>> anchors_;
  std::vector<Recording> recordings_;
  std::size_t recorded_ = 0;
  std::shared_ptr<const Node> replay_;
  std::size_t replay_at_ = 0;
  std::uint32_t replay_line_ = 0;
  std::size_t replayed_ = 0;
  bool plain_ = false;  // of the last raw token
  bool merges_;         // the text may have merge keys
  std::vector<Open> open_;
  Node given_;  // what comes before the end of the map that has just ended
  std::size_t given_at_ = 0;
};

}  // namespace tulle::k8s
