#pragma once
// The calls of the admin API that look into upstreams and steer them:
//   GET  /v1/upstreams, /v1/upstreams/NAME, /v1/upstreams/NAME/decisions
//   POST /v1/upstreams/NAME/drain?address=ADDRESS, /v1/upstreams/NAME/undrain?address=ADDRESS

#include "daemon/admin/call.h"

namespace sluice::admin {

void show_upstreams(Call& call);
// With what follows "/v1/upstreams/" as call.rest_of_path.
void show_upstream(Call& call);
void steer_upstream(Call& call);

}  // namespace sluice::admin
