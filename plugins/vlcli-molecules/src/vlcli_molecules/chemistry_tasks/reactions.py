"""Reactions made by RDKit from templates: substrates of the data set, common reagents, one product each."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from rdkit.Chem.rdChemReactions import ChemicalReaction

AMINE = "[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]);!$(NC=C):1]"
ACID = "[CX3:2](=[O:3])[OX2H1]"


@dataclass(frozen=True)
class Template:
    """A kind of reaction.

    Attributes:
        name: of the transformation.
        smarts: the substrate is its first reactant, a partner its second, where it has one.
        partners: SMILES of the reagents that take part; none for templates of one reactant.
        conditions: species that are written on the left and leave no atom in the product.
    """

    name: str
    smarts: str
    partners: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


TEMPLATES = (
    Template("amide coupling", f"{ACID}.{AMINE}>>[C:2](=[O:3])[N:1]",
             ("NCc1ccccc1", "C1CCNCC1", "C1COCCN1", "CCN", "CC(C)N", "NC1CC1", "Nc1ccccc1")),
    Template("esterification", "[CX3:2](=[O:3])[OX2H1:4].[OX2H:5][CX4:6]>>[C:2](=[O:3])[O:4][C:6]",
             ("CO", "CCO", "CC(C)O", "OCc1ccccc1"), ("O=S(=O)(O)O",)),
    Template("ester hydrolysis", "[CX3:2](=[O:3])[OX2H0:4][CX4]>>[C:2](=[O:3])[O:4]", (), ("[Na+]~[OH-]",)),
    Template("nitro reduction", "[c:1][N+:2](=O)[O-]>>[c:1][N+0:2]", (), ("Cl[Sn]Cl",)),
    Template("carbonyl reduction", "[#6:1][CX3;H0,H1:2](=[O:3])[#6:4]>>[#6:1][C:2]([O:3])[#6:4]", (),
             ("[BH4-]~[Na+]",)),
    Template("sulfonamide formation", f"{AMINE}.[S:2](=[O:3])(=[O:4])Cl>>[N:1][S:2](=[O:3])=[O:4]",
             ("CS(=O)(=O)Cl", "Cc1ccc(S(=O)(=O)Cl)cc1")),
    Template("N-acylation", f"{AMINE}.[CX3:2](=[O:3])Cl>>[N:1][C:2]=[O:3]", ("CC(=O)Cl", "O=C(Cl)c1ccccc1")),
    Template("Williamson ether synthesis", "[c:1][OX2H:2].[CX4:3][Br,I]>>[c:1][O:2][C:3]",
             ("CI", "CCBr", "C=CCBr", "BrCc1ccccc1"), ("O=C([O-])[O-]~[K+]~[K+]",)),
    Template("Suzuki coupling", "[c:1][Br,I].[#6:2]B(O)O>>[c:1][#6:2]",
             ("OB(O)c1ccccc1", "COc1ccc(B(O)O)cc1", "CB(O)O")),
)  # fmt: skip


@dataclass(frozen=True)
class Reaction:
    """One reaction.

    Attributes:
        template: name of its kind.
        reactants: the left side, canonical species in sorted order.
        product: canonical SMILES.
        substrate: canonical SMILES of the molecule that was transformed.
    """

    template: str
    reactants: str
    product: str
    substrate: str


def common_species() -> frozenset[str]:
    """Canonical SMILES of all partners and of the conditions: reagents that many reactions share."""
    from vlcli_molecules.metrics.molecules import canonical, canonical_side

    parts = [part for template in TEMPLATES for part in (*template.partners, *template.conditions)]
    # A salt as one species, as a SMILES of two fragments, and its ions.
    found = [
        form(piece) for part in parts for piece in (part, *part.split("~")) for form in (canonical, canonical_side)
    ]
    return frozenset(species for species in found if species is not None)


@functools.cache
def compiled() -> tuple[tuple[Template, ChemicalReaction, tuple[tuple[str, Mol], ...]], ...]:
    """The templates with RDKit's reactions and the partners' structures."""
    from rdkit import Chem
    from rdkit.Chem import rdChemReactions

    return tuple(
        (template, rdChemReactions.ReactionFromSmarts(template.smarts),
         tuple((partner, Chem.MolFromSmiles(partner)) for partner in template.partners))
        for template in TEMPLATES
    )  # fmt: skip


def products_of(reaction: ChemicalReaction, reactants: tuple[Mol, ...]) -> set[str]:
    """Canonical SMILES of all products that RDKit accepts."""
    from rdkit import Chem, rdBase

    found = set()
    with rdBase.BlockLogs():
        for products in reaction.RunReactants(reactants):
            product = products[0]
            # A template can break a valence; SANITIZE_NONE is 0.
            if int(Chem.SanitizeMol(product, catchErrors=True)) == 0:
                found.add(Chem.MolToSmiles(product))
    return found


def reactions_of(substrate: Mol) -> Iterator[Reaction]:
    """The reactions of a molecule, one per template and partner, where the template fits in one way only.

    A molecule with several products (two different acids, say) is left out: the right side would be a guess.
    """
    from rdkit import Chem

    from vlcli_molecules.metrics.molecules import canonical_side

    smiles = Chem.MolToSmiles(substrate)
    for template, reaction, partners in compiled():
        if not substrate.HasSubstructMatch(reaction.GetReactantTemplate(0)):
            continue
        for partner, structure in partners or (("", None),):
            reactants = (substrate,) if structure is None else (substrate, structure)
            products = products_of(reaction, reactants)
            if len(products) != 1:
                continue
            product = products.pop()
            species = [part for part in (smiles, partner, *template.conditions) if part]
            side = canonical_side(".".join(species))
            if product != smiles and "." not in product and side is not None:
                yield Reaction(template.name, side, product, smiles)
