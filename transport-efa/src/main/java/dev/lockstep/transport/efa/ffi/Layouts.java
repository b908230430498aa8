package dev.lockstep.transport.efa.ffi;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.StructLayout;
import java.util.Arrays;
import java.util.List;

/// The structures of libfabric 1.17, and one of 1.20, as far as they are used; pointers are longs.
///
/// Later versions only append members, so these offsets hold in all of them; what is handed to the
/// library is [#OVERSIZE] bytes of zeros around the structure, because a later library reads more.
/// A test compares every member with the installed header.
public final class Layouts {
  /// Room for any structure that is handed to the library, whatever later versions append.
  public static final long OVERSIZE = 512;

  /// `struct fid`.
  public static final StructLayout FID = struct("fid", longs("fclass", "context", "ops"));

  /// `struct fi_ops`.
  public static final StructLayout OPS =
      struct("fi_ops", longs("size", "close", "bind", "control", "ops_open"));

  /// `struct fi_info`.
  public static final StructLayout INFO =
      struct(
          "fi_info",
          longs("next", "caps", "mode"),
          ints("addr_format", "-"),
          longs("src_addrlen", "dest_addrlen", "src_addr", "dest_addr", "handle"),
          longs("tx_attr", "rx_attr", "ep_attr", "domain_attr", "fabric_attr", "nic"));

  /// `struct fi_tx_attr`.
  public static final StructLayout TX_ATTR =
      struct(
          "fi_tx_attr",
          longs("caps", "mode", "op_flags", "msg_order", "comp_order", "inject_size", "size"));

  /// `struct fi_rx_attr`.
  public static final StructLayout RX_ATTR =
      struct(
          "fi_rx_attr",
          longs("caps", "mode", "op_flags", "msg_order", "comp_order"),
          longs("total_buffered_recv", "size"));

  /// `struct fi_ep_attr`.
  public static final StructLayout EP_ATTR =
      struct(
          "fi_ep_attr",
          ints("type", "protocol", "protocol_version", "-"),
          longs("max_msg_size", "msg_prefix_size"));

  /// `struct fi_domain_attr`.
  public static final StructLayout DOMAIN_ATTR =
      struct(
          "fi_domain_attr",
          longs("domain", "name"),
          ints("threading", "control_progress", "data_progress", "resource_mgmt"),
          ints("av_type", "mr_mode"),
          longs("mr_key_size", "cq_data_size"));

  /// `struct fi_fabric_attr`.
  public static final StructLayout FABRIC_ATTR =
      struct(
          "fi_fabric_attr",
          longs("fabric", "name", "prov_name"),
          ints("prov_version", "api_version"));

  /// `struct fid_fabric`; the structures of objects start with [#FID].
  public static final StructLayout FABRIC = object("fid_fabric", "ops");

  /// `struct fi_ops_fabric`.
  public static final StructLayout OPS_FABRIC =
      struct("fi_ops_fabric", longs("size", "domain", "passive_ep", "eq_open"));

  /// `struct fid_domain`.
  public static final StructLayout DOMAIN = object("fid_domain", "ops", "mr");

  /// `struct fi_ops_domain`.
  public static final StructLayout OPS_DOMAIN =
      struct("fi_ops_domain", longs("size", "av_open", "cq_open", "endpoint"));

  /// `struct fi_ops_mr`.
  public static final StructLayout OPS_MR =
      struct("fi_ops_mr", longs("size", "reg", "regv", "regattr"));

  /// `struct fid_mr`.
  public static final StructLayout MR = object("fid_mr", "mem_desc", "key");

  /// `struct fi_mr_attr`.
  public static final StructLayout MR_ATTR =
      struct(
          "fi_mr_attr",
          longs("mr_iov", "iov_count", "access", "offset", "requested_key", "context"),
          longs("auth_key_size", "auth_key"),
          ints("iface", "-"),
          longs("device"));

  /// `struct fi_mr_dmabuf`, of libfabric 1.20.
  public static final StructLayout MR_DMABUF =
      struct("fi_mr_dmabuf", ints("fd", "-"), longs("offset", "len", "base_addr"));

  /// `struct iovec` of the C library.
  public static final StructLayout IOVEC = struct("iovec", longs("iov_base", "iov_len"));

  /// `struct fid_av`.
  public static final StructLayout AV = object("fid_av", "ops");

  /// `struct fi_ops_av`.
  public static final StructLayout OPS_AV = struct("fi_ops_av", longs("size", "insert"));

  /// `struct fi_av_attr`.
  public static final StructLayout AV_ATTR =
      struct("fi_av_attr", ints("type", "rx_ctx_bits"), longs("count"));

  /// `struct fid_cq`.
  public static final StructLayout CQ = object("fid_cq", "ops");

  /// `struct fi_ops_cq`.
  public static final StructLayout OPS_CQ =
      struct(
          "fi_ops_cq",
          longs("size", "read", "readfrom", "readerr", "sread", "sreadfrom", "signal", "strerror"));

  /// `struct fi_cq_attr`.
  public static final StructLayout CQ_ATTR =
      struct("fi_cq_attr", longs("size", "flags"), ints("format", "wait_obj"));

  /// `struct fi_cq_data_entry`.
  public static final StructLayout CQ_DATA_ENTRY =
      struct("fi_cq_data_entry", longs("op_context", "flags", "len", "buf", "data"));

  /// `struct fi_cq_err_entry`.
  public static final StructLayout CQ_ERR_ENTRY =
      struct(
          "fi_cq_err_entry",
          longs("op_context", "flags", "len", "buf", "data", "tag", "olen"),
          ints("err", "prov_errno"),
          longs("err_data", "err_data_size"));

  /// `struct fid_eq`.
  public static final StructLayout EQ = object("fid_eq", "ops");

  /// `struct fi_ops_eq`.
  public static final StructLayout OPS_EQ = struct("fi_ops_eq", longs("size", "read", "readerr"));

  /// `struct fi_eq_attr`.
  public static final StructLayout EQ_ATTR =
      struct("fi_eq_attr", longs("size", "flags"), ints("wait_obj", "-"));

  /// `struct fi_eq_err_entry`.
  public static final StructLayout EQ_ERR_ENTRY =
      struct(
          "fi_eq_err_entry",
          longs("fid", "context", "data"),
          ints("err", "prov_errno"),
          longs("err_data", "err_data_size"));

  /// `struct fid_ep`.
  public static final StructLayout EP =
      object("fid_ep", "ops", "cm", "msg", "rma", "tagged", "atomic", "collective");

  /// `struct fi_ops_ep`.
  public static final StructLayout OPS_EP =
      struct("fi_ops_ep", longs("size", "cancel", "getopt", "setopt"));

  /// `struct fi_ops_cm`.
  public static final StructLayout OPS_CM =
      struct("fi_ops_cm", longs("size", "setname", "getname"));

  /// `struct fi_ops_msg`.
  public static final StructLayout OPS_MSG =
      struct(
          "fi_ops_msg",
          longs("size", "recv", "recvv", "recvmsg", "send", "sendv", "sendmsg", "inject"),
          longs("senddata", "injectdata"));

  /// `struct fi_ops_rma`.
  public static final StructLayout OPS_RMA =
      struct(
          "fi_ops_rma",
          longs("size", "read", "readv", "readmsg", "write", "writev", "writemsg", "inject"),
          longs("writedata"));

  private Layouts() {}

  /// Returns every structure, for the test against the header.
  public static List<StructLayout> all() {
    return List.of(
        FID,
        OPS,
        INFO,
        TX_ATTR,
        RX_ATTR,
        EP_ATTR,
        DOMAIN_ATTR,
        FABRIC_ATTR,
        FABRIC,
        OPS_FABRIC,
        DOMAIN,
        OPS_DOMAIN,
        OPS_MR,
        MR,
        MR_ATTR,
        MR_DMABUF,
        IOVEC,
        AV,
        OPS_AV,
        AV_ATTR,
        CQ,
        OPS_CQ,
        CQ_ATTR,
        CQ_DATA_ENTRY,
        CQ_ERR_ENTRY,
        EQ,
        OPS_EQ,
        EQ_ATTR,
        EQ_ERR_ENTRY,
        EP,
        OPS_EP,
        OPS_CM,
        OPS_MSG,
        OPS_RMA);
  }

  /// Returns where a member starts, in bytes.
  public static long offset(StructLayout struct, String member) {
    return struct.byteOffset(PathElement.groupElement(member));
  }

  private static StructLayout object(String name, String... members) {
    return struct(name, first(FID, "fid"), longs(members));
  }

  private static StructLayout struct(String name, MemoryLayout[]... members) {
    MemoryLayout[] all =
        Arrays.stream(members).flatMap(Arrays::stream).toArray(MemoryLayout[]::new);
    return MemoryLayout.structLayout(all).withName(name);
  }

  private static MemoryLayout[] longs(String... names) {
    MemoryLayout[] members = new MemoryLayout[names.length];
    for (int i = 0; i < names.length; i++) {
      members[i] = JAVA_LONG.withName(names[i]);
    }
    return members;
  }

  /// Members of 4 bytes; `-` is padding.
  private static MemoryLayout[] ints(String... names) {
    MemoryLayout[] members = new MemoryLayout[names.length];
    for (int i = 0; i < names.length; i++) {
      members[i] =
          names[i].equals("-") ? MemoryLayout.paddingLayout(4) : JAVA_INT.withName(names[i]);
    }
    return members;
  }

  private static MemoryLayout[] first(MemoryLayout layout, String name) {
    return new MemoryLayout[] {layout.withName(name)};
  }
}
