// The refusals of the contest's API, in addition to those of HTTP (http/error.h).
#pragma once

#include <span>

#include "engine/engine.h"
#include "http/error.h"

namespace espora::face::errors {

using http::Error;

inline constexpr Error body_not_json{400, "json_invalido", "O corpo não é um JSON válido."};
inline constexpr Error path_unknown{404, "caminho_desconhecido", "Não há nada neste caminho."};
inline constexpr Error account_unknown{404, "cliente_desconhecido", "Este cliente não existe."};
inline constexpr Error method_not_allowed{405, "metodo_nao_permitido",
                                          "Este caminho não atende este método."};
inline constexpr Error body_not_object{422, "objeto_esperado",
                                       "O corpo tem que ser um objeto JSON."};
inline constexpr Error member_missing{422, "campo_ausente",
                                      "São obrigatórios os campos valor, tipo e descricao."};
inline constexpr Error member_repeated{
    422, "campo_repetido", "Os campos valor, tipo e descricao só podem aparecer uma vez."};
inline constexpr Error amount_invalid{
    422, "valor_invalido", "O valor tem que ser um inteiro de centavos entre 1 e 2^53-1."};
inline constexpr Error kind_invalid{422, "tipo_invalido",
                                    "O tipo tem que ser \"c\" (crédito) ou \"d\" (débito)."};
inline constexpr Error description_invalid{
    422, "descricao_invalida", "A descrição tem que ser um texto de 1 a 10 caracteres."};
inline constexpr Error limit_insufficient{422, "limite_insuficiente",
                                          "O débito deixaria o saldo abaixo do limite do cliente."};
inline constexpr Error balance_too_large{422, "saldo_grande_demais",
                                         "O crédito levaria o saldo acima de 2^53-1."};
// The write or flush of this transaction, or of what this answer reveals, failed.
inline constexpr Error store_failed{
    503, "armazenamento_falhou", "Não se sabe se a operação chegou ao disco; o serviço vai parar."};
// Nothing is known to have failed, but nothing can be written now: no descriptor or permission.
inline constexpr Error store_refuses{503, "armazenamento_indisponivel",
                                     "O armazenamento não pode gravar agora; nada foi alterado."};
// Opened on a full disk: the newest transactions exist, but could not be made durable yet.
inline constexpr Error store_waits_for_space{
    503, "armazenamento_espera_espaco",
    "Não há espaço em disco para assegurar as últimas transações; o serviço espera por espaço."};
inline constexpr Error store_full{507, "armazenamento_cheio",
                                  "Não há espaço em disco; nada foi alterado."};

// What a client receives for a refusal; null for any other result.
[[nodiscard]] const Error* of(engine::Result result) noexcept;

// Every error above, for tests and documentation.
std::span<const Error* const> all() noexcept;

}  // namespace espora::face::errors
