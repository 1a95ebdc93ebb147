#!/usr/bin/env bash
# Who may import whom (services/README.md, "Modules"): services meet only in proto, kit and datapath; nothing imports
# tests; kit and datapath import no service; only metadata, placement and etcd itself know etcd.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=github.com/drystone-store/drystone/services
status=0
allow() { # module, allowed sibling modules
  local module=$1 found
  shift
  while read -r found; do
    case " $* " in
      *" $found "*) ;;
      *) echo "services/$module imports services/$found; allowed: ${*:-none}" >&2; status=1 ;;
    esac
  done < <(cd "services/$module" && go list -f '{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}' ./... |
    sed -nE "s#^$prefix/([a-z]+)(/.*)?\$#\1#p" | sort -u | grep -vx "$module" || true)
}
allow kit
allow datapath kit
for service in frontdoor chunkserver placement repair metadata; do allow "$service" kit datapath; done
allow etcd kit
allow drystone kit datapath frontdoor metadata placement chunkserver repair
for module in kit datapath frontdoor chunkserver repair; do
  if (cd "services/$module" && go list -f '{{join .Imports "\n"}}' ./... | grep -q '^go.etcd.io/etcd'); then
    echo "services/$module imports etcd; only metadata, placement and etcd may" >&2
    status=1
  fi
done
exit $status
