"""The process that is load and upstream: started once, spoken to in lines."""

import json
import subprocess


class Load:
    def __init__(self, binary, token, cpus):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", cpus, binary, token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words):
        line = " ".join(str(word) for word in words)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the load generator has ended at: {line}")
        answer = json.loads(answer)
        if "error" in answer:
            raise SystemExit(f"the load generator, asked for {line}: {answer['error']}")
        return answer

    def upstream(self, port, *options):
        return self.ask("upstream", port, *options)["upstream"]

    def pool(self, proxy, case, connections, twin=None):
        """Opens connections to a proxy, or in turn to it and its twin; the caller closes them."""
        return Pool(self, proxy, case, connections, twin)


class Pool:
    """Connections to one proxy that stay open from slice to slice."""

    def __init__(self, load, proxy, case, connections, twin=None):
        self.load, self.proxy = load, proxy
        port = proxy.tls_port if case.tls else proxy.port
        if twin:
            port = f"{port},{twin.port}"
        path = (proxy.tls_path if case.tls else proxy.path) + case.path
        options = ["token"] if proxy.load_sends_token else []
        self.id = load.ask(
            "pool", port, connections, case.method, path, case.body, *options)["pool"]

    def run(self, milliseconds):
        return self.checked(self.load.ask("run", self.id, milliseconds))

    def rate(self, milliseconds, per_second):
        return self.checked(self.load.ask("rate", self.id, milliseconds, per_second))

    def storm(self, milliseconds, upstream, every):
        return self.counted(self.load.ask("storm", self.id, milliseconds, upstream, every))

    def once(self):
        return self.checked(self.load.ask("once", self.id))

    def close(self):
        self.load.ask("close", self.id)

    def counted(self, answer):
        self.proxy.sent += answer["requests"]
        return answer

    def checked(self, answer):
        if answer["failed"]:
            raise SystemExit(
                f"{self.proxy.name}: {answer['failed']} of {answer['requests']} requests failed,"
                f" the first: {answer['failure']}")
        return self.counted(answer)
