# What workerd serves in the tests. Lines that begin with @ are filled in by build.py.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "objects", worker = .objects),
    (name = "front", worker = .front),
    (name = "edge", worker = .edge),
    (name = "edge-closed", worker = .edgeClosed),
    (name = "reference", worker = .reference),
    (name = "disk", disk = (path = "unset", writable = true)),
    (name = "origin", external = (address = "unset", http = ())),
    (name = "nowhere", external = (address = "127.0.0.1:1", http = ())),
  ],
  sockets = [
    (name = "javascript", address = "unset", http = (), service = "front"),
    (name = "python", address = "unset", http = (), service = "objects"),
    (name = "edge", address = "unset", http = (), service = "edge"),
    (name = "edge-closed", address = "unset", http = (), service = "edge-closed"),
    (name = "edge-python", address = "unset", http = (), service = (name = "objects", entrypoint = "EdgePython")),
    (name = "reference", address = "unset", http = (), service = "reference"),
  ],
);

const objects :Workerd.Worker = (
  compatibilityDate = "@DATE",
  compatibilityFlags = ["python_workers", "python_workers_development"],
  modules = [
@MODULES
  ],
  durableObjectNamespaces = [
@NAMESPACES
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [
    (name = "ORIGIN", service = "origin"),
    (name = "NOWHERE", service = "nowhere"),
    (name = "ORIGIN_URL", text = "https://origin.example.com"),
    (name = "INVALIDATION_TOKEN", text = "sesame"),
    (name = "USERS", durableObjectNamespace = "UserCache"),
@BINDINGS
  ],
  globalOutbound = "origin",
);

const front :Workerd.Worker = (
  compatibilityDate = "@DATE",
  modules = [(name = "front.js", esModule = embed "front.js")],
  bindings = [
@BINDINGS
  ],
);

# The front of docs/examples/edge, as it is deployed.
const edge :Workerd.Worker = (
  compatibilityDate = "@DATE",
  modules = [(name = "edge.js", esModule = embed "edge.js")],
  bindings = [
    (name = "USERS", durableObjectNamespace = (className = "UserCache", serviceName = "objects")),
    (name = "INVALIDATION_TOKEN", text = "sesame"),
  ],
);

# The same, deployed without its secret.
const edgeClosed :Workerd.Worker = (
  compatibilityDate = "@DATE",
  modules = [(name = "edge.js", esModule = embed "edge.js")],
  bindings = [
    (name = "USERS", durableObjectNamespace = (className = "UserCache", serviceName = "objects")),
  ],
);

const reference :Workerd.Worker = (
  compatibilityDate = "@DATE",
  modules = [(name = "reference.js", esModule = embed "reference.js")],
  durableObjectNamespaces = [
    (className = "Coalescing", uniqueKey = "Coalescing", enableSql = true),
    (className = "Loading", uniqueKey = "Loading", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [
    (name = "ORIGIN", service = "origin"),
    (name = "Coalescing", durableObjectNamespace = "Coalescing"),
    (name = "Loading", durableObjectNamespace = "Loading"),
  ],
);
