//! The published vocabulary.

use cc_lb_plugin_wire::{v1, v2, v3};

use super::build_signer::BuildSigner;
use super::filter::Filter;
use super::normalize_error::NormalizeError;
use super::observe::Observe;
use super::on_unauthorized::OnUnauthorized;
use super::shape::Shape;
use super::sign::Sign;
use crate::vocabulary;

vocabulary! {
    /// A request for any of the published implementations of the wire functions.
    pub enum Request {
        /// `shape`, version 1.
        ShapeV1(Shape) => v1::shape::ShapeFn, "shape_v1";
        /// `shape`, version 2.
        ShapeV2(Shape) => v2::shape::ShapeFn, "shape_v2";
        /// `normalize_error`, version 1.
        NormalizeErrorV1(NormalizeError) => v1::normalize_error::NormalizeErrorFn, "normalize_error_v1";
        /// `normalize_error`, version 2.
        NormalizeErrorV2(NormalizeError) => v2::normalize_error::NormalizeErrorFn, "normalize_error_v2";
        /// `build_signer`, version 1.
        BuildSignerV1(BuildSigner) => v1::build_signer::BuildSignerFn, "build_signer_v1";
        /// `build_signer`, version 2.
        BuildSignerV2(BuildSigner) => v2::build_signer::BuildSignerFn, "build_signer_v2";
        /// `sign`, version 1.
        SignV1(Sign) => v1::sign::SignFn, "sign_v1";
        /// `sign`, version 2.
        SignV2(Sign) => v2::sign::SignFn, "sign_v2";
        /// `on_unauthorized`, version 1.
        OnUnauthorizedV1(OnUnauthorized) => v1::on_unauthorized::OnUnauthorizedFn, "on_unauthorized_v1";
        /// `on_unauthorized`, version 2.
        OnUnauthorizedV2(OnUnauthorized) => v2::on_unauthorized::OnUnauthorizedFn, "on_unauthorized_v2";
        /// `observe`, version 1.
        ObserveV1(Observe) => v1::observe::ObserveFn, "observe_v1";
        /// `observe`, version 2.
        ObserveV2(Observe) => v2::observe::ObserveFn, "observe_v2";
        /// `filter`, version 3.
        FilterV3(Filter) => v3::filter::FilterFn, "filter_v3";
    }
}
