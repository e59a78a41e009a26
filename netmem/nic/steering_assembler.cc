// SPDX-License-Identifier: Apache-2.0
//
// Instruction encoding. Control thread; allocates.

#include "netmem/nic/steering_assembler.h"

#include <utility>

namespace devmem {
namespace {

constexpr BpfReg kNone = BpfReg::kR0;

}  // namespace

BpfAssembler::Label BpfAssembler::NewLabel() {
  targets_.push_back(0);
  return static_cast<Label>(targets_.size() - 1);
}

void BpfAssembler::Emit(int code, BpfReg to, BpfReg from, int offset, int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = static_cast<uint8_t>(to) & 0xf;
  instruction.src_reg = static_cast<uint8_t>(from) & 0xf;
  instruction.off = static_cast<int16_t>(offset);
  instruction.imm = immediate;
  code_.push_back(instruction);
}

void BpfAssembler::Move(BpfReg to, BpfReg from) {
  Emit(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

void BpfAssembler::MoveImmediate(BpfReg to, int32_t value) {
  Emit(BPF_ALU64 | BPF_MOV | BPF_K, to, kNone, 0, value);
}

// A 64-bit constant takes two instructions; the second holds its high half and nothing else.
void BpfAssembler::EmitWide(BpfReg to, uint8_t kind, uint64_t value) {
  Emit(BPF_LD | BPF_DW | BPF_IMM, to, static_cast<BpfReg>(kind), 0, static_cast<int32_t>(value));
  Emit(0, kNone, kNone, 0, static_cast<int32_t>(value >> 32));
}

void BpfAssembler::Load64(BpfReg to, uint64_t value) { EmitWide(to, 0, value); }

void BpfAssembler::LoadMap(BpfReg to, int map_fd) {
  EmitWide(to, BPF_PSEUDO_MAP_FD, static_cast<uint32_t>(map_fd));
}

void BpfAssembler::Compute(uint8_t operation, BpfReg to, BpfReg with) {
  Emit(BPF_ALU64 | BPF_X | operation, to, with, 0, 0);
}

void BpfAssembler::ComputeImmediate(uint8_t operation, BpfReg to, int32_t with) {
  Emit(BPF_ALU64 | BPF_K | operation, to, kNone, 0, with);
}

void BpfAssembler::Load(BpfSize size, BpfReg to, BpfReg base, int offset) {
  Emit(BPF_LDX | BPF_MEM | static_cast<int>(size), to, base, offset, 0);
}

void BpfAssembler::Store(BpfSize size, BpfReg base, int offset, BpfReg from) {
  Emit(BPF_STX | BPF_MEM | static_cast<int>(size), base, from, offset, 0);
}

void BpfAssembler::StoreImmediate(BpfSize size, BpfReg base, int offset, int32_t value) {
  Emit(BPF_ST | BPF_MEM | static_cast<int>(size), base, kNone, offset, value);
}

void BpfAssembler::EmitJump(int code, BpfReg left, BpfReg right, int32_t immediate, Label target) {
  jumps_.push_back({code_.size(), target});
  Emit(code, left, right, 0, immediate);
}

void BpfAssembler::Jump(Label target) { EmitJump(BPF_JMP | BPF_JA, kNone, kNone, 0, target); }

void BpfAssembler::JumpIf(uint8_t comparison, BpfReg left, BpfReg right, Label target) {
  EmitJump(BPF_JMP | BPF_X | comparison, left, right, 0, target);
}

void BpfAssembler::JumpIfImmediate(uint8_t comparison, BpfReg left, int32_t right, Label target) {
  EmitJump(BPF_JMP | BPF_K | comparison, left, kNone, right, target);
}

void BpfAssembler::Call(int32_t helper) { Emit(BPF_JMP | BPF_CALL, kNone, kNone, 0, helper); }

void BpfAssembler::Exit() { Emit(BPF_JMP | BPF_EXIT, kNone, kNone, 0, 0); }

std::vector<bpf_insn> BpfAssembler::Finish() {
  for (const PendingJump& jump : jumps_) {
    // A distance counts from the instruction behind the jump.
    code_[jump.from].off = static_cast<int16_t>(targets_[jump.target] - jump.from - 1);
  }
  jumps_.clear();
  return std::exchange(code_, {});
}

}  // namespace devmem
