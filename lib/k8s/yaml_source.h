// SPDX-License-Identifier: Apache-2.0
// YAML as tokens (token.h), read with libyaml. Plain scalars get the types that Kubernetes gives
// them (YAML 1.1: yes, no, on and off are booleans). Anchors and aliases work within a document and
// are bounded; merge keys ("<<") are refused, because nothing here would apply their precedence.
#pragma once

#include <yaml.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/k8s/token.h"

namespace tulle::k8s {

// The type that Kubernetes' YAML reader gives to an unquoted scalar.
Token::Type plain_type(std::string_view text) noexcept;

class YamlSource final : public TokenSource {
 public:
  // `text` must outlive the source.
  explicit YamlSource(std::string_view text);
  ~YamlSource() override;
  YamlSource(const YamlSource&) = delete;
  YamlSource& operator=(const YamlSource&) = delete;
  bool next_document() override;
  Token next() override;

 private:
  struct Kept {
    Token::Kind kind;
    Token::Type type;
    std::string text;
  };
  using Node = std::vector<Kept>;
  struct Recording {
    std::string anchor;
    int depth = 0;
    std::shared_ptr<Node> node = std::make_shared<Node>();
  };

  bool pull();  // the next libyaml event into event_; false and failed_ if there is none
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
  std::uint32_t bad_line_ = 0;
  int depth_ = 0;
  std::map<std::string, std::shared_ptr<const Node>, std::less<>> anchors_;
  std::vector<Recording> recordings_;
  std::size_t recorded_ = 0;
  std::shared_ptr<const Node> replay_;
  std::size_t replay_at_ = 0;
  std::uint32_t replay_line_ = 0;
  std::size_t replayed_ = 0;
};

}  // namespace tulle::k8s
