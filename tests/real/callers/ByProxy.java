import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Calls an address through a proxy with Java's HttpClient and its older HttpURLConnection: fails on a wrong answer. */
public class ByProxy {
  static void check(String said, String expected) {
    if (!said.equals(expected)) {
      throw new AssertionError(said + " is not " + expected);
    }
  }

  public static void main(String[] arguments) throws Exception {
    var proxy = URI.create(arguments[0]);
    var base = arguments[1];
    var address = new InetSocketAddress(proxy.getHost(), proxy.getPort());
    var client = HttpClient.newBuilder().proxy(ProxySelector.of(address)).build();
    for (int round = 0; round < 3; round++) {
      var get = HttpRequest.newBuilder(URI.create(base + "/v1/items?q=a+b%26c")).build();
      var got = client.send(get, BodyHandlers.ofString());
      check(got.body(), "GET /v1/items?q=a+b%26c ");
      // By TLS it asks for HTTP/2, and gets it.
      check(got.version().toString(), base.startsWith("https:") ? "HTTP_2" : "HTTP_1_1");
      var post = HttpRequest.newBuilder(URI.create(base + "/v1/items")).POST(BodyPublishers.ofString("a body"));
      check(client.send(post.build(), BodyHandlers.ofString()).body(), "POST /v1/items a body");
      var url = URI.create(base + "/v1/items?n=1").toURL();
      var older = (HttpURLConnection) url.openConnection(new Proxy(Proxy.Type.HTTP, address));
      check(new String(older.getInputStream().readAllBytes()), "GET /v1/items?n=1 ");
    }
    System.out.println("done");
  }
}
