package dev.lockstep.process;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.random.RandomGenerator;

/// Ports for processes of a test that are told where to meet.
public final class Ports {
  // Below those that Linux gives to whoever asks for any (ip_local_port_range, from 32768): until a
  // test listens at its port, only a test that draws the same one can take it.
  private static final int FIRST = 12_000;
  private static final int END = 32_000;
  private static final int TRIES = 100;

  private Ports() {}

  /// Returns a port of loopback that nobody listens at.
  public static int free() {
    RandomGenerator random = RandomGenerator.getDefault();
    for (int i = 0; i < TRIES; i++) {
      int port = random.nextInt(FIRST, END);
      if (isFree(port)) {
        return port;
      }
    }
    throw new IllegalStateException("no port is free: from=%d, to=%d".formatted(FIRST, END - 1));
  }

  private static boolean isFree(int port) {
    try (ServerSocket _ = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
      return true;
    } catch (IOException _) {
      return false;
    }
  }
}
