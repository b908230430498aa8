package dev.lockstep.job;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;

/// A wire between a rank and its store: remembers what passes, and can be cut so that neither side
/// hears of the other any more, as when a cable is pulled.
final class Relay implements AutoCloseable {
  private final int target;
  private final ServerSocket listener;
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();
  private final ByteArrayOutputStream passed = new ByteArrayOutputStream();
  private volatile boolean cut;
  private volatile long nanosPerByte;

  Relay(int target) {
    this.target = target;
    try {
      listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Thread.ofVirtual().start(this::accept);
  }

  int port() {
    return listener.getLocalPort();
  }

  void cut() {
    cut = true;
  }

  /// Lets bytes pass at this rate from now on, each way; who wakes late makes up for it.
  void slowDown(long nanosForByte) {
    nanosPerByte = nanosForByte;
  }

  /// Returns all bytes that passed, one character each.
  String passed() {
    synchronized (passed) {
      return passed.toString(StandardCharsets.ISO_8859_1);
    }
  }

  private void accept() {
    try {
      while (true) {
        Socket rank = listener.accept();
        Socket store = new Socket();
        store.setReceiveBufferSize(1 << 16);
        store.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), target));
        sockets.addAll(List.of(rank, store));
        Thread.ofVirtual().start(() -> pass(rank, store));
        Thread.ofVirtual().start(() -> pass(store, rank));
      }
    } catch (IOException _) {
      // Closed.
    }
  }

  private void pass(Socket from, Socket to) {
    byte[] buffer = new byte[8192];
    long due = System.nanoTime(); // for all that has passed
    try {
      InputStream in = from.getInputStream();
      OutputStream out = to.getOutputStream();
      for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
        synchronized (passed) {
          passed.write(buffer, 0, n);
        }
        if (!cut) {
          out.write(buffer, 0, n);
        }
        long slowness = nanosPerByte;
        due = slowness == 0 ? System.nanoTime() : due + n * slowness;
        LockSupport.parkNanos(due - System.nanoTime());
      }
      if (!cut) { // A wire that is cut does not tell that the other side has hung up either.
        to.close();
      }
    } catch (IOException _) {
      // One side has closed.
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    for (Socket socket : sockets) {
      socket.close();
    }
  }
}
