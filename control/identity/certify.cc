// SPDX-License-Identifier: Apache-2.0
#include "control/identity/certify.h"

#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {

net::Task<grpc::StatusOr<pb::identity::CertifyResponse>> Certifier::certify(
    grpc::ServerCall& call, pb::identity::CertifyRequest request) {
  const std::string identity = request.identity;
  grpc::StatusOr<pb::identity::CertifyResponse> response = co_await answer(std::move(request));
  if (!response) {
    log_.warn("a certificate is refused", {{"identity", identity},
                                           {"client", call.peer().address.to_string()},
                                           {"code", grpc::to_string(response.status().code)},
                                           {"reason", response.status().message}});
  }
  co_return response;
}

net::Task<grpc::StatusOr<pb::identity::CertifyResponse>> Certifier::answer(
    pb::identity::CertifyRequest request) {
  const auto refuse = [](grpc::Code code, std::string message) {
    return grpc::Status{code, std::move(message)};
  };
  const std::shared_ptr<const IssuerState> issuer = issuers_.current();
  if (issuer == nullptr) co_return refuse(grpc::Code::Unavailable, "there is no issuer yet");

  if (request.identity.empty()) co_return refuse(grpc::Code::InvalidArgument, "no identity");
  if (request.token.empty()) co_return refuse(grpc::Code::InvalidArgument, "no token");
  const auto csr = tls::Csr::from_der(as_bytes(request.certificate_signing_request));
  if (!csr) co_return refuse(grpc::Code::InvalidArgument, "the signing request is malformed");

  if (const auto good = check_issuer(*issuer); !good) {
    log_.error("the issuer is not good any more",
               {{"reason", good.error().where},
                {"now", format_rfc3339(wall_now())},
                {"until", format_rfc3339(issuer->issuer.certificate.not_after)}});
    if (options_.on_invalid) options_.on_invalid(good.error().where);
    co_return refuse(grpc::Code::Unknown, std::string(good.error().where));
  }

  const bool named = csr->dns_names.size() == 1 && csr->dns_names[0] == request.identity;
  const bool titled = csr->common_name.empty() || csr->common_name == request.identity;
  if (!named || !titled || csr->other_names) {
    co_return refuse(grpc::Code::FailedPrecondition,
                     "the signing request must name the identity and nothing else");
  }

  const grpc::StatusOr<TokenHolder> holder = co_await tokens_.review(std::move(request.token));
  if (!holder) co_return holder.status();
  // As Linkerd has it: the type of the account stands in the name as it is.
  const std::string proven = concat(holder->name, ".", holder->ns, ".", holder->type, ".identity.",
                                    config_.controller_namespace, ".", config_.trust_domain);
  if (proven != request.identity) {
    co_return refuse(grpc::Code::FailedPrecondition,
                     concat("the token is of ", proven, ", the request of ", request.identity));
  }

  const auto leaf = tls::sign_leaf(issuer->issuer, *csr,
                                   {options_.lifetime, options_.skew, issuers_.next_serial()});
  if (!leaf) co_return refuse(grpc::Code::Internal, std::string(leaf.error().where));

  pb::identity::CertifyResponse response;
  response.leaf_certificate = leaf->der;
  bool issuer_is_anchor = false;
  for (const tls::Certificate& anchor : issuer->anchors) {
    response.trust_anchors.push_back(anchor.der);
    issuer_is_anchor |= anchor.der == issuer->issuer.certificate.der;
  }
  if (!issuer_is_anchor) {
    response.intermediate_certificates.push_back(issuer->issuer.certificate.der);
  }
  for (const tls::Certificate& above : issuer->issuer.chain) {
    response.intermediate_certificates.push_back(above.der);
  }
  response.valid_until = pb::to_pb(leaf->not_after);
  log_.info("a certificate is issued",
            {{"identity", request.identity}, {"until", format_rfc3339(leaf->not_after)}});
  co_return response;
}

}  // namespace tulle::control
