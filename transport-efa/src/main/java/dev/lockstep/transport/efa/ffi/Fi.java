package dev.lockstep.transport.efa.ffi;

/// Constants of libfabric 1.17's headers, which later versions keep.
public final class Fi {
  /// The interface that is asked for, `FI_VERSION(1, 17)` of rdma/fabric.h.
  public static final int API_VERSION = 1 << 16 | 17;

  /// The interface from which on memory is registered by file descriptors, `FI_VERSION(1, 20)`.
  public static final int DMABUF_VERSION = 1 << 16 | 20;

  // rdma/fabric.h: capabilities, flags and modes
  /// `FI_MSG`.
  public static final long MSG = 1L << 1;

  /// `FI_RMA`.
  public static final long RMA = 1L << 2;

  /// `FI_READ`.
  public static final long READ = 1L << 8;

  /// `FI_WRITE`.
  public static final long WRITE = 1L << 9;

  /// `FI_RECV`.
  public static final long RECV = 1L << 10;

  /// `FI_SEND`, the same as `FI_TRANSMIT`.
  public static final long SEND = 1L << 11;

  /// `FI_REMOTE_WRITE`.
  public static final long REMOTE_WRITE = 1L << 13;

  /// `FI_REMOTE_CQ_DATA`.
  public static final long REMOTE_CQ_DATA = 1L << 17;

  /// `FI_HMEM`.
  public static final long HMEM = 1L << 47;

  /// `FI_SOURCE`: node and service of a look-up are the local side.
  public static final long SOURCE = 1L << 57;

  /// `FI_RX_CQ_DATA`: a write with immediate data consumes a receive of its target.
  public static final long RX_CQ_DATA = 1L << 56;

  /// `FI_CONTEXT`: operations lend the provider 32 bytes.
  public static final long CONTEXT = 1L << 59;

  /// `FI_CONTEXT2`: operations lend the provider 64 bytes.
  public static final long CONTEXT2 = 1L << 52;

  /// `FI_MR_DMABUF`, a flag of `fi_mr_regattr` since 1.20: memory is named by a file descriptor.
  public static final long MR_DMABUF = 1L << 40;

  // rdma/fi_domain.h: modes of memory registration
  /// `FI_MR_LOCAL`: local buffers need a registration too.
  public static final int MR_LOCAL = 1 << 2;

  /// `FI_MR_VIRT_ADDR`: peers name memory by its address, else by its offset.
  public static final int MR_VIRT_ADDR = 1 << 4;

  /// `FI_MR_ALLOCATED`: memory has pages behind it when it is registered.
  public static final int MR_ALLOCATED = 1 << 5;

  /// `FI_MR_PROV_KEY`: the provider chooses keys.
  public static final int MR_PROV_KEY = 1 << 6;

  /// `FI_MR_ENDPOINT`: registrations are bound to an endpoint.
  public static final int MR_ENDPOINT = 1 << 9;

  /// `FI_MR_HMEM`: memory of accelerators is named as such.
  public static final int MR_HMEM = 1 << 10;

  /// `FI_HMEM_CUDA`.
  public static final int HMEM_CUDA = 1;

  /// `FI_HMEM_NEURON`.
  public static final int HMEM_NEURON = 4;

  // rdma/fabric.h and rdma/fi_domain.h: choices
  /// `FI_EP_RDM`.
  public static final int EP_RDM = 3;

  /// `FI_AV_TABLE`.
  public static final int AV_TABLE = 2;

  /// `FI_CQ_FORMAT_DATA`.
  public static final int CQ_FORMAT_DATA = 3;

  /// `FI_WAIT_NONE`.
  public static final int WAIT_NONE = 0;

  /// `FI_THREAD_DOMAIN`: callers serialise all that belongs to one domain.
  public static final int THREAD_DOMAIN = 3;

  /// `FI_PROGRESS_MANUAL`.
  public static final int PROGRESS_MANUAL = 2;

  /// `FI_RM_ENABLED`.
  public static final int RM_ENABLED = 2;

  /// `FI_ENABLE`, a command of `fi_control`.
  public static final int ENABLE = 6;

  // rdma/fi_endpoint.h, rdma/fi_ext_efa.h: options
  /// `FI_OPT_ENDPOINT`, a level of options.
  public static final int OPT_ENDPOINT = 0;

  /// `FI_OPT_MAX_MSG_SIZE` of 2.1: the longest message beside writes.
  public static final int OPT_MAX_MSG_SIZE = 12;

  /// `FI_OPT_EFA_RNR_RETRY`.
  public static final int OPT_EFA_RNR_RETRY = -(0xefa << 16);

  /// A value of [#OPT_EFA_RNR_RETRY]: a receiver without room is tried again for ever.
  public static final long RNR_RETRY_FOREVER = 7;

  // rdma/fi_errno.h
  /// `FI_EAGAIN`.
  public static final int EAGAIN = 11;

  /// `FI_ENOMEM`.
  public static final int ENOMEM = 12;

  /// `FI_ENODATA`.
  public static final int ENODATA = 61;

  /// `FI_ECONNABORTED`.
  public static final int ECONNABORTED = 103;

  /// `FI_ECONNRESET`.
  public static final int ECONNRESET = 104;

  /// `FI_ENOTCONN`.
  public static final int ENOTCONN = 107;

  /// `FI_ECANCELED`.
  public static final int ECANCELED = 125;

  /// `FI_EAVAIL`: an error waits in the queue.
  public static final int EAVAIL = 259;

  private Fi() {}
}
