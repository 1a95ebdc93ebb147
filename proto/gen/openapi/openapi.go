// Package openapi embeds the OpenAPI document that `make proto` generates beside it from the public API.
package openapi

import _ "embed"

// JSON is the OpenAPI 2.0 document of drystone.api.v1 as the generator wrote it.
//
//go:embed drystone.swagger.json
var JSON []byte
