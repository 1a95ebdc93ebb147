package client

// Names of the REST API's headers, in Go's canonical form.
const (
	headerChecksum   = "Drystone-Checksum-Crc64nvme"
	headerVersionID  = "Drystone-Version-Id"
	headerMetaPrefix = "Drystone-Meta-"
)
