// SPDX-License-Identifier: Apache-2.0
//
// Writes eBPF instructions with labels in place of jump distances, as much of the instruction set
// as the steering program uses. Control thread, while steering_code.cc builds a program. The
// instruction set: the kernel's Documentation/bpf/standardization/instruction-set.rst.

#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace devmem {

// Registers, by what the calling convention makes of them: kR0 is a helper's answer and the
// program's own, kR1 to kR5 are arguments and lost in every call, kR6 to kR9 are kept, kFrame ends
// the stack.
enum class BpfReg : uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7, kR8, kR9, kFrame };

enum class BpfSize : uint8_t { k8 = BPF_B, k16 = BPF_H, k32 = BPF_W, k64 = BPF_DW };

class BpfAssembler {
 public:
  using Label = uint32_t;

  // A place to jump to; every label is placed once, before Finish().
  Label NewLabel();
  void Place(Label label) { targets_[label] = code_.size(); }

  void Move(BpfReg to, BpfReg from);
  void MoveImmediate(BpfReg to, int32_t value);
  void Load64(BpfReg to, uint64_t value);
  // A reference to a map; the kernel puts its address there when it loads the program.
  void LoadMap(BpfReg to, int map_fd);

  // 64-bit arithmetic: BPF_ADD, BPF_AND, BPF_LSH, BPF_RSH, BPF_XOR, BPF_MUL, BPF_MOD (unsigned).
  void Compute(uint8_t operation, BpfReg to, BpfReg with);
  void ComputeImmediate(uint8_t operation, BpfReg to, int32_t with);

  // to = *(base + offset), zero-extended; *(base + offset) = from; and the same with a constant.
  void Load(BpfSize size, BpfReg to, BpfReg base, int offset);
  void Store(BpfSize size, BpfReg base, int offset, BpfReg from);
  void StoreImmediate(BpfSize size, BpfReg base, int offset, int32_t value);

  // Unsigned comparisons of 64 bits: BPF_JEQ, BPF_JNE, BPF_JGE, BPF_JLT. The constant is
  // sign-extended.
  void Jump(Label target);
  void JumpIf(uint8_t comparison, BpfReg left, BpfReg right, Label target);
  void JumpIfImmediate(uint8_t comparison, BpfReg left, int32_t right, Label target);

  void Call(int32_t helper);
  void Exit();

  // The program with every jump resolved.
  std::vector<bpf_insn> Finish();

 private:
  struct PendingJump {
    size_t from;
    Label target;
  };

  void Emit(int code, BpfReg to, BpfReg from, int offset, int32_t immediate);
  void EmitJump(int code, BpfReg left, BpfReg right, int32_t immediate, Label target);
  void EmitWide(BpfReg to, uint8_t kind, uint64_t value);

  std::vector<bpf_insn> code_;
  std::vector<size_t> targets_;  // Per label: the instruction that it stands before.
  std::vector<PendingJump> jumps_;
};

}  // namespace devmem
