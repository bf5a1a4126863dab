// SPDX-License-Identifier: Apache-2.0
// The life of a pod as its proxy has to know it: which kind of sidecar it is, and whether its
// application has ended (docs/decisions/0006). A plain function of the pod.
#pragma once

#include "lib/k8s/objects.h"
#include "proto/inbound.pb.h"

namespace tulle::control {

// Absent while nobody reports on the containers (a pod that was not started yet, manifests without
// containerStatuses), or if the pod has no proxy. The application is every container but the
// proxy's and the debug container. It has ended when all of them have terminated and none is to be
// started again: because of its restart policy, or because the pod goes.
pb::Box<pb::inbound::Life> life_of(const k8s::Pod& pod);

}  // namespace tulle::control
