package cli

import "strings"

// target is an argument `BUCKET` or `BUCKET/KEY`. Everything behind the first slash is the key, byte for byte.
type target struct{ bucket, key string }

func parseTarget(arg string) (target, error) {
	bucket, key, _ := strings.Cut(arg, "/")
	if bucket == "" {
		return target{}, usagef("%q names no bucket: write BUCKET/KEY", arg)
	}
	return target{bucket, key}, nil
}

// parseObject is parseTarget for commands that need a key.
func parseObject(arg string) (target, error) {
	t, err := parseTarget(arg)
	if err == nil && t.key == "" {
		return t, usagef("%q names no object: write %s/KEY", arg, t.bucket)
	}
	return t, err
}

func parseBucket(arg string) (string, error) {
	t, err := parseTarget(arg)
	if err == nil && t.key != "" {
		return "", usagef("%q is an object's name: a bucket is wanted here", arg)
	}
	return t.bucket, err
}

// folder takes the key for a folder: what recursive commands work on ends in a slash, or is the whole bucket.
func (t target) folder() string {
	if t.key == "" || strings.HasSuffix(t.key, "/") {
		return t.key
	}
	return t.key + "/"
}

func (t target) String() string { return t.bucket + "/" + t.key }
