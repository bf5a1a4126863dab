// SPDX-License-Identifier: Apache-2.0
// nf_tables over netlink (linux/netfilter/nf_tables.h), without a library: one batch that makes the
// table anew.
#include <netinet/in.h>  // before the kernel's headers, which define the same names

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "lib/net/socket.h"
#include "lib/redirect/plan.h"

namespace tulle::redirect {
namespace {

constexpr std::string_view kTable = "tulle";
constexpr std::uint32_t kRegister = NFT_REG_1;

// A batch of netlink messages in one block of memory.
class Batch {
 public:
  void begin(std::uint16_t type, std::uint16_t flags, std::uint8_t family,
             std::uint16_t res_id = 0) {
    start_ = bytes_.size();
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    header.nlmsg_seq = ++sequence_;
    put(&header, sizeof header);
    nfgenmsg generic{};
    generic.nfgen_family = family;
    generic.version = NFNETLINK_V0;
    generic.res_id = htons(res_id);
    put(&generic, sizeof generic);
  }
  void end() {
    const auto size = static_cast<std::uint32_t>(bytes_.size() - start_);
    std::memcpy(bytes_.data() + start_, &size, sizeof size);
    pad();
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    nlattr header{static_cast<std::uint16_t>(sizeof(nlattr) + size), type};
    put(&header, sizeof header);
    put(data, size);
    pad();
  }
  void text(std::uint16_t type, std::string_view value) {
    const std::string zero_ended(value);
    attribute(type, zero_ended.c_str(), zero_ended.size() + 1);
  }
  void be32(std::uint16_t type, std::uint32_t value) {
    value = htonl(value);
    attribute(type, &value, sizeof value);
  }
  std::size_t nest(std::uint16_t type) {
    const std::size_t at = bytes_.size();
    nlattr header{0, static_cast<std::uint16_t>(type | NLA_F_NESTED)};
    put(&header, sizeof header);
    return at;
  }
  void close(std::size_t at) {
    const auto size = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &size, sizeof size);
  }
  void data(std::uint16_t type, const void* value, std::size_t size) {
    const std::size_t outer = nest(type);
    attribute(NFTA_DATA_VALUE, value, size);
    close(outer);
  }
  const std::string& bytes() const { return bytes_; }
  std::uint32_t sequence() const { return sequence_; }

 private:
  void put(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
  }
  void pad() { bytes_.resize((bytes_.size() + 3) & ~std::size_t{3}); }
  std::string bytes_;
  std::size_t start_ = 0;
  std::uint32_t sequence_ = 0;
};

std::uint16_t message(int type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
}

// One expression of a rule.
template <typename Body>
void expression(Batch& batch, std::string_view name, Body body) {
  const std::size_t element = batch.nest(NFTA_LIST_ELEM);
  batch.text(NFTA_EXPR_NAME, name);
  const std::size_t data = batch.nest(NFTA_EXPR_DATA);
  body();
  batch.close(data);
  batch.close(element);
}

void load_meta(Batch& batch, std::uint32_t key) {
  expression(batch, "meta", [&] {
    batch.be32(NFTA_META_KEY, key);
    batch.be32(NFTA_META_DREG, kRegister);
  });
}
void load_payload(Batch& batch, std::uint32_t base, std::uint32_t offset, std::uint32_t size) {
  expression(batch, "payload", [&] {
    batch.be32(NFTA_PAYLOAD_DREG, kRegister);
    batch.be32(NFTA_PAYLOAD_BASE, base);
    batch.be32(NFTA_PAYLOAD_OFFSET, offset);
    batch.be32(NFTA_PAYLOAD_LEN, size);
  });
}
void compare(Batch& batch, const void* value, std::size_t size) {
  expression(batch, "cmp", [&] {
    batch.be32(NFTA_CMP_SREG, kRegister);
    batch.be32(NFTA_CMP_OP, NFT_CMP_EQ);
    batch.data(NFTA_CMP_DATA, value, size);
  });
}
void match_tcp(Batch& batch) {
  load_meta(batch, NFT_META_L4PROTO);
  const std::uint8_t tcp = IPPROTO_TCP;
  compare(batch, &tcp, 1);
}
void match_ports(Batch& batch, const PortRange& ports) {
  match_tcp(batch);
  load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  const std::uint16_t first = htons(ports.first);
  const std::uint16_t last = htons(ports.second);
  if (first == last) {
    compare(batch, &first, 2);
    return;
  }
  expression(batch, "range", [&] {
    batch.be32(NFTA_RANGE_SREG, kRegister);
    batch.be32(NFTA_RANGE_OP, NFT_RANGE_EQ);
    batch.data(NFTA_RANGE_FROM_DATA, &first, 2);
    batch.data(NFTA_RANGE_TO_DATA, &last, 2);
  });
}
void match_subnet(Batch& batch, const net::Cidr& subnet) {
  load_meta(batch, NFT_META_NFPROTO);
  const std::uint8_t family = subnet.ip.is_v4() ? NFPROTO_IPV4 : NFPROTO_IPV6;
  compare(batch, &family, 1);
  const auto size = static_cast<std::uint32_t>(subnet.ip.octets().size());
  load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, subnet.ip.is_v4() ? 12 : 8, size);
  std::array<std::uint8_t, 16> mask{};
  std::array<std::uint8_t, 16> zero{};
  std::array<std::uint8_t, 16> value{};
  for (unsigned bit = 0; bit < subnet.prefix; ++bit)
    mask[bit / 8] |= static_cast<std::uint8_t>(0x80 >> bit % 8);
  for (std::size_t i = 0; i < size; ++i) value[i] = subnet.ip.octets()[i] & mask[i];
  expression(batch, "bitwise", [&] {
    batch.be32(NFTA_BITWISE_SREG, kRegister);
    batch.be32(NFTA_BITWISE_DREG, kRegister);
    batch.be32(NFTA_BITWISE_LEN, size);
    batch.data(NFTA_BITWISE_MASK, mask.data(), size);
    batch.data(NFTA_BITWISE_XOR, zero.data(), size);
  });
  compare(batch, value.data(), size);
}
void return_from_chain(Batch& batch) {
  expression(batch, "immediate", [&] {
    batch.be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    const std::size_t data = batch.nest(NFTA_IMMEDIATE_DATA);
    const std::size_t verdict = batch.nest(NFTA_DATA_VERDICT);
    batch.be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(NFT_RETURN));
    batch.close(verdict);
    batch.close(data);
  });
}
void redirect_to(Batch& batch, std::uint32_t port) {
  const std::uint16_t wire = htons(static_cast<std::uint16_t>(port));
  expression(batch, "immediate", [&] {
    batch.be32(NFTA_IMMEDIATE_DREG, kRegister);
    batch.data(NFTA_IMMEDIATE_DATA, &wire, 2);
  });
  expression(batch, "redir", [&] {
    batch.be32(NFTA_REDIR_REG_PROTO_MIN, kRegister);
    batch.be32(NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
  });
}

void add_rule(Batch& batch, std::uint8_t family, std::string_view chain, const Step& step) {
  batch.begin(message(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND, family);
  batch.text(NFTA_RULE_TABLE, kTable);
  batch.text(NFTA_RULE_CHAIN, chain);
  const std::size_t list = batch.nest(NFTA_RULE_EXPRESSIONS);
  switch (step.kind) {
    case Step::Kind::ReturnUid:
    case Step::Kind::ReturnGid:
      load_meta(batch, step.kind == Step::Kind::ReturnUid ? NFT_META_SKUID : NFT_META_SKGID);
      compare(batch, &step.number, sizeof step.number);
      break;
    case Step::Kind::ReturnLoopback: {
      load_meta(batch, NFT_META_OIF);
      const std::uint32_t loopback = 1;  // the first interface of every namespace
      compare(batch, &loopback, sizeof loopback);
      break;
    }
    case Step::Kind::ReturnPorts:
    case Step::Kind::RedirectPort: match_ports(batch, step.ports); break;
    case Step::Kind::ReturnSubnet: match_subnet(batch, step.subnet); break;
    case Step::Kind::Redirect: match_tcp(batch); break;
  }
  if (step.kind == Step::Kind::Redirect || step.kind == Step::Kind::RedirectPort) {
    redirect_to(batch, step.number);
  } else {
    return_from_chain(batch);
  }
  batch.close(list);
  // nft's own form of a comment: type 0, length, text.
  std::string comment;
  comment += '\0';
  comment += static_cast<char>(step.comment.size() + 1);
  comment += step.comment;
  comment += '\0';
  batch.attribute(NFTA_RULE_USERDATA, comment.data(), comment.size());
  batch.end();
}

void add_chain(Batch& batch, std::uint8_t family, std::string_view name, std::uint32_t hook) {
  batch.begin(message(NFT_MSG_NEWCHAIN), NLM_F_CREATE, family);
  batch.text(NFTA_CHAIN_TABLE, kTable);
  batch.text(NFTA_CHAIN_NAME, name);
  const std::size_t nested = batch.nest(NFTA_CHAIN_HOOK);
  batch.be32(NFTA_HOOK_HOOKNUM, hook);
  batch.be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(-100));
  batch.close(nested);
  batch.be32(NFTA_CHAIN_POLICY, NF_ACCEPT);
  batch.text(NFTA_CHAIN_TYPE, "nat");
  batch.end();
}

void add_table(Batch& batch, std::uint8_t family) {
  batch.begin(message(NFT_MSG_NEWTABLE), NLM_F_CREATE, family);
  batch.text(NFTA_TABLE_NAME, kTable);
  batch.end();
}
void delete_table(Batch& batch, std::uint8_t family) {
  batch.begin(message(NFT_MSG_DELTABLE), 0, family);
  batch.text(NFTA_TABLE_NAME, kTable);
  batch.end();
}

Result<net::Fd> open_netlink() {
  net::Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)};
  if (!fd) return Error{Errc::Io, "open netlink", errno};
  const timeval patience{5, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

// Sends everything and waits for the answer to its last message; calls on_message(type, payload)
// for others.
template <typename OnMessage>
Result<void> exchange(const net::Fd& fd, const Batch& batch, const char* step, bool dump,
                      OnMessage on_message) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const std::string& bytes = batch.bytes();
  if (::sendto(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    return Error{Errc::Io, step, errno};
  }
  alignas(nlmsghdr) std::array<char, 32'768> buffer;
  for (;;) {
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error{Errc::Io, step, errno};
    auto left = static_cast<std::size_t>(n);
    for (std::size_t at = 0; at + sizeof(nlmsghdr) <= left;) {
      nlmsghdr header;
      std::memcpy(&header, buffer.data() + at, sizeof header);
      if (header.nlmsg_len < sizeof header || at + header.nlmsg_len > left)
        return Error{Errc::Invalid, step};
      const Bytes payload(reinterpret_cast<const std::uint8_t*>(buffer.data()) + at + sizeof header,
                          header.nlmsg_len - sizeof header);
      if (header.nlmsg_type == NLMSG_ERROR) {
        int code = 0;
        if (payload.size() < sizeof code) return Error{Errc::Invalid, step};
        std::memcpy(&code, payload.data(), sizeof code);
        if (code != 0) return Error{Errc::Io, step, -code};
        if (!dump && header.nlmsg_seq >= batch.sequence()) return {};
      } else if (header.nlmsg_type == NLMSG_DONE) {
        return {};
      } else {
        on_message(header.nlmsg_type, payload);
      }
      at += (header.nlmsg_len + 3) & ~std::size_t{3};
    }
  }
}

// No netfilter netlink, no nf_tables, no inet family, or no nat chains and redirections in it (the
// batch names nothing of its own that could be missing).
Error lacking(Error error) {
  for (const int code : {EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT, ENOENT}) {
    if (error.os_errno == code) error.code = Errc::Unsupported;
  }
  return error;
}

// How many rules our table holds.
Result<std::size_t> count_rules(const net::Fd& fd, std::uint8_t family) {
  Batch query;
  query.begin(message(NFT_MSG_GETRULE), NLM_F_DUMP, family);
  query.text(NFTA_RULE_TABLE, kTable);
  query.end();
  std::size_t count = 0;
  const Result<void> read =
      exchange(fd, query, "read the rules back", true, [&](std::uint16_t type, Bytes) {
        if (type == message(NFT_MSG_NEWRULE)) ++count;
      });
  if (!read) return read.error();
  return count;
}

}  // namespace

Result<void> install_nftables(const Rules& rules) {
  const std::uint8_t family = rules.ipv6 ? NFPROTO_INET : NFPROTO_IPV4;
  const Result<net::Fd> fd = open_netlink();
  if (!fd) return lacking(fd.error());
  const std::vector<Step> inbound = inbound_steps(rules);
  const std::vector<Step> outbound = outbound_steps(rules);
  Batch batch;
  batch.begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  batch.end();
  // Made, removed, made: so that removing never fails and what was there before is gone.
  add_table(batch, family);
  delete_table(batch, family);
  add_table(batch, family);
  add_chain(batch, family, "inbound", NF_INET_PRE_ROUTING);
  for (const Step& step : inbound) add_rule(batch, family, "inbound", step);
  add_chain(batch, family, "outbound", NF_INET_LOCAL_OUT);
  for (const Step& step : outbound) add_rule(batch, family, "outbound", step);
  batch.begin(NFNL_MSG_BATCH_END, NLM_F_ACK, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  batch.end();
  const Result<void> made =
      exchange(*fd, batch, "install the rules", false, [](std::uint16_t, Bytes) {});
  if (!made) return lacking(made.error());
  const Result<net::Fd> second = open_netlink();
  if (!second) return second.error();
  const Result<std::size_t> count = count_rules(*second, family);
  if (!count) return count.error();
  if (*count != inbound.size() + outbound.size()) return Error{Errc::Internal, "verify the rules"};
  return {};
}

}  // namespace tulle::redirect
