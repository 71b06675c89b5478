import { armor, Decrypter } from "age-encryption";

export async function open({ identity, envelope }) {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return decrypter.decrypt(armor.decode(envelope));
}
