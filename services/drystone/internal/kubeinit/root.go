package kubeinit

import (
	"crypto/rand"
	"fmt"

	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
)

// Keys of the root Secret.
const (
	keyToken       = "token"
	keyCredentials = "credentials"
)

const (
	// S3 clients expect an access key of 20 capital letters and digits, and a secret key of 40.
	accessKeyLength, secretKeyLength = 20, 40
	// accessKeyPrefix makes keys that leaked easy to find, for secret scanners and people.
	accessKeyPrefix = "DRYS"
)

// rootKeys says what a root Secret lacks.
func rootKeys(have map[string][]byte) (map[string][]byte, error) {
	if err := filled(have, keyToken, keyCredentials); err != nil {
		return nil, err
	}
	set := map[string][]byte{}
	if have[keyToken] == nil {
		set[keyToken] = []byte(datadir.NewToken())
	}
	if have[keyCredentials] == nil {
		set[keyCredentials] = newCredentials()
	}
	return set, nil
}

// newCredentials makes an AWS shared-credentials file with random keys; the secret one has 200 bits.
func newCredentials() []byte {
	access := (accessKeyPrefix + rand.Text())[:accessKeyLength]
	secret := (rand.Text() + rand.Text())[:secretKeyLength]
	return fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
}
