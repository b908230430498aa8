package dev.lockstep.device.cuda.ffi;

import static dev.lockstep.device.cuda.ffi.NativeCalls.call;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;

/// libnccl by the foreign function interface.
final class NativeNccl implements Nccl {
  private final MemorySegment getVersion;
  private final MemorySegment getUniqueId;
  private final MemorySegment commInitRankConfig;
  private final MemorySegment commGetAsyncError;
  private final MemorySegment commFinalize;
  private final MemorySegment commDestroy;
  private final MemorySegment commAbort;
  private final MemorySegment groupStart;
  private final MemorySegment groupEnd;
  private final MemorySegment send;
  private final MemorySegment recv;
  private final MemorySegment allReduce;
  private final MemorySegment reduceScatter;
  private final MemorySegment allGather;
  private final MemorySegment broadcast;
  private final MemorySegment errorString;
  private final MemorySegment lastError;

  /// Finds the functions.
  ///
  /// @throws java.util.NoSuchElementException if the library lacks one
  NativeNccl(SymbolLookup library) {
    getVersion = library.findOrThrow("ncclGetVersion");
    getUniqueId = library.findOrThrow("ncclGetUniqueId");
    commInitRankConfig = library.findOrThrow("ncclCommInitRankConfig");
    commGetAsyncError = library.findOrThrow("ncclCommGetAsyncError");
    commFinalize = library.findOrThrow("ncclCommFinalize");
    commDestroy = library.findOrThrow("ncclCommDestroy");
    commAbort = library.findOrThrow("ncclCommAbort");
    groupStart = library.findOrThrow("ncclGroupStart");
    groupEnd = library.findOrThrow("ncclGroupEnd");
    send = library.findOrThrow("ncclSend");
    recv = library.findOrThrow("ncclRecv");
    allReduce = library.findOrThrow("ncclAllReduce");
    reduceScatter = library.findOrThrow("ncclReduceScatter");
    allGather = library.findOrThrow("ncclAllGather");
    broadcast = library.findOrThrow("ncclBroadcast");
    errorString = library.findOrThrow("ncclGetErrorString");
    lastError = library.findOrThrow("ncclGetLastError");
  }

  @Override
  public int getVersion(long version) {
    return call(getVersion, version);
  }

  @Override
  public int getUniqueId(long id) {
    return call(getUniqueId, id);
  }

  @Override
  public int commInitRankConfig(long communicator, int ranks, long id, int rank, long config) {
    return NativeCalls.initRank(commInitRankConfig, communicator, ranks, id, rank, config);
  }

  @Override
  public int commGetAsyncError(long communicator, long state) {
    return call(commGetAsyncError, communicator, state);
  }

  @Override
  public int commFinalize(long communicator) {
    return call(commFinalize, communicator);
  }

  @Override
  public int commDestroy(long communicator) {
    return call(commDestroy, communicator);
  }

  @Override
  public int commAbort(long communicator) {
    return call(commAbort, communicator);
  }

  @Override
  public int groupStart() {
    return call(groupStart);
  }

  @Override
  public int groupEnd() {
    return call(groupEnd);
  }

  @Override
  public int send(long from, long count, int type, int peer, long communicator, long stream) {
    return call(send, from, count, type, peer, communicator, stream);
  }

  @Override
  public int recv(long to, long count, int type, int peer, long communicator, long stream) {
    return call(recv, to, count, type, peer, communicator, stream);
  }

  @Override
  public int allReduce(
      long from, long to, long count, int type, int op, long communicator, long stream) {
    return call(allReduce, from, to, count, type, op, communicator, stream);
  }

  @Override
  public int reduceScatter(
      long from, long to, long count, int type, int op, long communicator, long stream) {
    return call(reduceScatter, from, to, count, type, op, communicator, stream);
  }

  @Override
  public int allGather(long from, long to, long count, int type, long communicator, long stream) {
    return call(allGather, from, to, count, type, communicator, stream);
  }

  @Override
  public int broadcast(
      long from, long to, long count, int type, int root, long communicator, long stream) {
    return call(broadcast, from, to, count, type, root, communicator, stream);
  }

  @Override
  public String errorString(int status) {
    return NativeCalls.text(errorString, status);
  }

  @Override
  public String lastError(long communicator) {
    return NativeCalls.text(lastError, communicator);
  }
}
