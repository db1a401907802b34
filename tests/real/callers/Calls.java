import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** A round of calls to an address with Java's HttpClient: fails on a wrong answer. */
public class Calls {
  static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  static void check(String address, String method, BodyPublisher body, String expected) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(address)).method(method, body).build();
    var answer = CLIENT.send(request, BodyHandlers.ofString());
    if (answer.statusCode() != 200 || !answer.body().equals(expected)) {
      throw new AssertionError(method + " " + answer.statusCode() + " " + answer.body());
    }
  }

  public static void main(String[] arguments) throws Exception {
    String base = arguments[0];
    byte[] much = new byte[100_000];
    for (int round = 0; round < 3; round++) {
      check(base + "/items?q=a+b%26c&n=1", "GET", BodyPublishers.noBody(), "GET /items?q=a+b%26c&n=1 0");
      check(base + "/items", "POST", BodyPublishers.ofByteArray(much), "POST /items 100000");
      check(base + "/items", "HEAD", BodyPublishers.noBody(), "");
    }
    var stream = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(much));
    check(base + "/stream", "PUT", stream, "PUT /stream 100000");
    System.out.println("done");
  }
}
