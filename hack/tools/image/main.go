// Command image packs one static binary into a container image, without a daemon, a base image or a network, and says
// what the binary is made of. The same binary and flags give the same bytes.
//
//	image -binary bin/drystone-frontdoor -name drystone/frontdoor:0.1.0 -version 0.1.0 -revision d3be897 -out bin/images
//
// It writes OUT/frontdoor.tar, which `docker load`, `kind load image-archive` and `crane push` take, and
// OUT/frontdoor.cdx.json, a CycloneDX bill of materials from the binary's own build information.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// user is nobody's number on a host, as in other images without a shell.
const user = 65532

type options struct {
	binary, name, version, revision, out, live string
	created                                    int64
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "", "the static binary `file`")
	flag.StringVar(&o.name, "name", "", "the image's `name:tag`")
	flag.StringVar(&o.version, "version", "", "the release")
	flag.StringVar(&o.revision, "revision", "", "the commit")
	flag.StringVar(&o.out, "out", "bin/images", "the `folder` to write to")
	flag.Int64Var(&o.created, "created", 0, "when, in Unix `seconds`: the commit's time, not the build's")
	flag.StringVar(&o.live, "live", "", "for a developer's loop: the `file` of hack/tools/live, which then runs the binary")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	binary, err := os.ReadFile(o.binary)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", o.binary, err)
	}
	tag, err := name.NewTag(o.name)
	if err != nil {
		return fmt.Errorf("name the image: %w", err)
	}
	short := path.Base(tag.RepositoryStr())
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	image, err := build(o, short, binary)
	if err != nil {
		return err
	}
	archive := filepath.Join(o.out, short+".tar")
	if err := tarball.WriteToFile(archive, tag, image); err != nil {
		return fmt.Errorf("write %s: %w", archive, err)
	}
	bill := filepath.Join(o.out, short+".cdx.json")
	if err := writeBill(bill, o, short, binary, info); err != nil {
		return fmt.Errorf("write %s: %w", bill, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("%s %s %s\n", archive, o.name, digest)
	return nil
}

// build makes the image.
func build(o options, short string, binary []byte) (v1.Image, error) {
	created := time.Unix(o.created, 0).UTC()
	entry := []string{"/" + filepath.Base(o.binary)}
	contents := append(base(), file{name: entry[0], mode: 0o755, data: binary})
	if o.live != "" {
		live, err := os.ReadFile(o.live)
		if err != nil {
			return nil, err
		}
		// The program's folder is the user's, who replaces it.
		entry = []string{"/bin/live", "run", "--", "/live" + entry[0]}
		contents = append(base(), file{name: "live/", mode: 0o755, owner: user}, file{name: entry[3], mode: 0o755, owner: user, data: binary},
			file{name: "bin/", mode: 0o755}, file{name: "bin/live", mode: 0o755, data: live},
			file{name: "bin/tar", mode: 0o755, data: live}, file{name: "bin/rm", mode: 0o755, data: live})
	}
	files, err := layer(created, contents)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, files)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", cmp.Or(os.Getenv("GOARCH"), runtime.GOARCH)
	config.Created = v1.Time{Time: created}
	config.Config = v1.Config{
		Entrypoint: entry, User: fmt.Sprintf("%d:%d", user, user), WorkingDir: "/",
		Env: []string{"PATH=/:/bin"},
		Labels: map[string]string{
			"org.opencontainers.image.title":         "drystone " + short,
			"org.opencontainers.image.description":   "Drystone, an S3-like, erasure-coded object store",
			"org.opencontainers.image.licenses":      "Apache-2.0",
			"org.opencontainers.image.source":        "https://github.com/drystone-store/drystone",
			"org.opencontainers.image.version":       o.version,
			"org.opencontainers.image.revision":      o.revision,
			"org.opencontainers.image.created":       created.Format(time.RFC3339),
			"org.opencontainers.image.vendor":        "Drystone",
			"org.opencontainers.image.documentation": "https://github.com/drystone-store/drystone/blob/main/charts/README.md",
		},
	}
	return mutate.ConfigFile(image, config)
}

// file is one of an image; a name that ends in a slash is a folder.
type file struct {
	name  string
	mode  int64
	owner int
	data  []byte
}

// base is what every image has beside its program: the user's name, and a folder for temporary files.
func base() []file {
	return []file{
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, data: fmt.Appendf(nil, "drystone:x:%d:%d::/:/\n", user, user)},
		{name: "tmp/", mode: 0o1777},
	}
}

func layer(created time.Time, files []file) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{
			Name: strings.TrimPrefix(f.name, "/"), Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.data)),
			ModTime: created, Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	raw := out.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
}

// writeBill lists the modules that the binary was linked from.
func writeBill(file string, o options, short string, binary []byte, info *buildinfo.BuildInfo) (err error) {
	sum := sha256.Sum256(binary)
	self := cyclonedx.Component{
		BOMRef: "self", Type: cyclonedx.ComponentTypeApplication, Name: "drystone-" + short, Version: o.version,
		Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		Hashes:   &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
	}
	parts := []cyclonedx.Component{{
		BOMRef: "go", Type: cyclonedx.ComponentTypeFramework, Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"),
		PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
	}}
	for _, m := range info.Deps {
		for m.Replace != nil {
			m = m.Replace
		}
		if m.Version == "" || m.Version == "(devel)" {
			continue // a module of this repository
		}
		url := fmt.Sprintf("pkg:golang/%s@%s", m.Path, m.Version)
		parts = append(parts, cyclonedx.Component{
			BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url,
		})
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: time.Unix(o.created, 0).UTC().Format(time.RFC3339), Component: &self,
	}
	bom.Components = &parts
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}
