package api

import (
	"context"
	"slices"

	"tocsin/bridge"
)

// addEndpoints adds what tells of endpoints.
func (c *control) addEndpoints() {
	type endpointList struct {
		Endpoints []bridge.EndpointStatus `json:"endpoints"`
	}
	type endpointAsked struct {
		Name string `path:"name"`
	}
	reads(c, "endpoints", "List the endpoints and how they fare", func(ctx context.Context, _ *struct{}) (endpointList, error) {
		list, err := c.bridge.Endpoints(ctx)
		return endpointList{append([]bridge.EndpointStatus{}, list...)}, err
	})
	reads(c, "endpoints/{name}", "Say how an endpoint fares", func(ctx context.Context, in *endpointAsked) (bridge.EndpointStatus, error) {
		list, err := c.bridge.Endpoints(ctx)
		if err != nil {
			return bridge.EndpointStatus{}, err
		}
		i := slices.IndexFunc(list, func(s bridge.EndpointStatus) bool { return s.Name == in.Name })
		if i < 0 {
			return bridge.EndpointStatus{}, nothing("there is no endpoint %q (tocsin endpoints lists them)", in.Name)
		}
		return list[i], nil
	})
}
