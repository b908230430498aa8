package dev.lockstep.system;

import java.io.IOException;

/// The way onto a node for threads of this process. A thread stays there until it enters another,
/// and so does every thread that it starts.
final class NodeEntry implements AutoCloseable {
  // Of fcntl.h and linux/sched.h.
  private static final int READ_AND_NOT_FOR_CHILDREN = 0x80000;
  private static final int NETWORK = 0x40000000;

  private final String path;
  private final int file;

  /// Opens the way.
  ///
  /// @param path what stands for a network: a file of `/var/run/netns` or `/proc`
  /// @throws IOException if it cannot be opened
  NodeEntry(String path) throws IOException {
    this.path = path;
    this.file = LibC.open(path, READ_AND_NOT_FOR_CHILDREN);
    if (file < 0) {
      throw new IOException("network namespace cannot be opened: path=" + path);
    }
  }

  /// Moves the calling thread onto the node. Allocates nothing.
  void enter() {
    if (LibC.setns(file, NETWORK) != 0) {
      throw new IllegalStateException("network namespace cannot be entered: path=" + path);
    }
  }

  @Override
  public void close() {
    int _ = LibC.close(file);
  }
}
